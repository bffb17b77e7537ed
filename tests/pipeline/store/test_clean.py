"""A state folder has a bound, and what is needed stays."""

import os
import shutil
import time

import pytest

from pipeline.errors import StageError
from pipeline.store import Store, runs
from pipeline.store.clean import Bound, clean, size_of
from tests.support.damage import flip

PLAN = "/project/edge.toml"
MODEL_BYTES = 50_000


@pytest.fixture
def many(folder):
    """20 runs, each of another model, all with the same rows, as a training that is measured each day leaves them."""
    store = folder.store()
    for number in range(20):
        (rows,) = folder.answer(store, "rows", b"rows" * 1000)[0].artifacts
        (model,) = folder.answer(store, f"model-{number}", bytes([number]) * MODEL_BYTES)[0].artifacts
        run_id = folder.run(store, PLAN, rows, model)
        (store.report_folder(run_id) / "report.html").write_text("page")
    store.close()
    return folder


def age(folder, days, *globs):
    then = time.time() - days * 86400
    for pattern in globs:
        for path in folder.root.glob(pattern):
            os.utime(path, (then, then))


def test_the_last_runs_stay_with_all_that_they_need(many):
    before = size_of(many.root)
    store = many.store()
    last = [path.stem for path in runs.in_order(many.root)][-3:]
    done = clean(store, Bound(keep_runs=3))
    assert [path.stem for path in runs.in_order(many.root)] == last
    assert many.names("reports") == set(last)
    assert (len(done.runs), done.answers, done.artifacts, done.kept_runs) == (17, 17, 17, 3)
    assert before - size_of(many.root) == pytest.approx(done.freed_bytes, abs=100)
    assert done.kept_bytes < 4 * MODEL_BYTES + 60_000
    for number in (17, 18, 19):
        assert many.answer(store, f"model-{number}", bytes([number]) * MODEL_BYTES)[1]
    assert many.answer(store, "rows", b"rows" * 1000)[1]


def test_the_state_folder_may_be_a_link(many, tmp_path):
    """As to another disk: its size is that of what it leads to, and so the bound holds."""
    link = tmp_path / "link"
    link.symlink_to(many.root)
    done = clean(Store(link), Bound(max_bytes=5 * MODEL_BYTES))
    assert MODEL_BYTES < done.kept_bytes < 5 * MODEL_BYTES
    assert done.kept_runs < 5


@pytest.mark.parametrize("name", ["store", "reports", "tmp"])
def test_a_folder_in_it_may_not(many, tmp_path, name):
    """What nobody needs is removed there: it would be somebody's."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("")
    shutil.rmtree(many.root / name)
    (many.root / name).symlink_to(tmp_path / "mine")
    with pytest.raises(StageError, match=f"{name} is a symbolic link") as caught:
        many.store()
    assert "--state" in caught.value.hint
    assert (tmp_path / "mine" / "letter.txt").exists()


def test_a_dry_run_says_the_same_and_removes_nothing(many):
    store = many.store()
    before = sorted(many.root.rglob("*"))
    planned = clean(store, Bound(keep_runs=3), dry_run=True)
    assert sorted(many.root.rglob("*")) == before
    done = clean(store, Bound(keep_runs=3))
    assert (planned.runs, planned.answers, planned.artifacts, planned.kept_runs) == (
        done.runs, done.answers, done.artifacts, done.kept_runs,
    )  # fmt: skip
    assert planned.freed_bytes == done.freed_bytes > 17 * MODEL_BYTES


def test_by_age(many):
    age(many, 40, "runs/00[01][0-9]-*", "answers/*")
    done = clean(many.store(), Bound(older_than_s=30 * 86400))
    assert (len(done.runs), done.kept_runs) == (19, 1)


def test_by_size_the_oldest_go_first(many):
    done = clean(many.store(), Bound(max_bytes=5 * MODEL_BYTES))
    assert 0 < done.kept_runs <= 5
    assert done.kept_bytes <= 5 * MODEL_BYTES
    assert list(done.runs) == sorted(done.runs)
    assert max(done.runs) < min(path.stem for path in runs.in_order(many.root))


def test_the_newest_run_of_each_plan_stays_whatever_the_bound(many):
    store = many.store()
    (mine,) = many.answer(store, "small", b"s" * MODEL_BYTES)[0].artifacts
    many.run(store, "/project/small.toml", mine)
    newest_of_first = runs.in_order(many.root)[-2].stem
    store.close()
    store = many.store()
    done = clean(store, Bound(keep_runs=1, older_than_s=0, max_bytes=0))
    assert done.kept_runs == 2
    assert newest_of_first in {path.stem for path in runs.in_order(many.root)}
    assert store.path(mine).exists()
    assert clean(store, Bound(keep_runs=0)).kept_runs == 0


def test_recent_work_that_is_in_no_run_stays_for_a_week(folder):
    store = folder.store()
    folder.answer(store, "training of hours", b"weights")
    store.close()
    clean(folder.store(), Bound(keep_runs=1))
    assert folder.names("store")
    age(folder, 8, "answers/*")
    clean(folder.store(), Bound(keep_runs=1))
    assert not folder.names("store") | folder.names("answers")


def test_an_answer_that_names_nothing_does_not_stay_for_ever(many):
    many.answer(many.store(), "nothing")
    age(many, 8, "answers/stage-nothing*")
    clean(many.store(), Bound())
    assert "stage-nothing.json" not in many.names("answers")
    assert len(many.names("answers")) > 1


def test_what_is_used_is_recent(folder):
    store = folder.store()
    folder.answer(store, "k", b"weights")
    age(folder, 8, "answers/*")
    assert folder.answer(store, "k", b"weights")[1]
    store.close()
    clean(folder.store(), Bound(keep_runs=1))
    assert folder.names("store")


def test_a_stopped_training_stays_for_a_month(folder):
    store = folder.store()
    for key in ("old", "new"):
        (folder.root / "resume" / key).mkdir(parents=True)
        (folder.root / "resume" / key / "training.npz").write_bytes(b"x")
    age(folder, 31, "resume/old")
    clean(store, Bound(keep_runs=1))
    assert folder.names("resume") == {"new"}


def test_a_living_process_keeps_its_run_its_files_and_its_training(many):
    other = many.store()
    run = runs.in_order(many.root)[0].name
    other.lease.take(f"runs/{run}")
    (lonely,) = (other.put_bytes(b"lonely", "npy"),)
    (many.root / "resume" / "mine").mkdir(parents=True)
    age(many, 99, "resume/mine")
    other.lease.take("resume/mine")
    clean(many.store(), Bound(keep_runs=1, older_than_s=0, max_bytes=0))
    assert run in many.names("runs")
    assert other.path(lonely).exists()
    assert many.names("resume") == {"mine"}
    other.close()
    clean(many.store(), Bound(keep_runs=1, older_than_s=0))
    assert len(many.names("runs")) == 1
    assert not many.names("resume")


def test_a_damaged_run_goes(many):
    path = runs.in_order(many.root)[-1]
    flip(path)
    done = clean(many.store(), Bound(keep_runs=20))
    assert done.runs == (path.stem,)


def test_what_was_killed_in_the_middle_is_finished_by_the_next(many, monkeypatch):
    from pipeline.store import clean as room

    real, count = room._remove, []

    def remove(path):
        count.append(path)
        if len(count) == 20:
            raise KeyboardInterrupt
        real(path)

    monkeypatch.setattr(room, "_remove", remove)
    with pytest.raises(KeyboardInterrupt):
        clean(many.store(), Bound(keep_runs=2))
    monkeypatch.setattr(room, "_remove", real)
    age(many, 8, "answers/*")
    clean(many.store(), Bound(keep_runs=2))
    assert len(many.names("store")) == 3
    assert len(many.names("runs")) == 2


def test_a_report_without_its_run_goes(many):
    path = runs.in_order(many.root)[3]
    path.unlink()
    clean(many.store(), Bound(keep_runs=20))
    assert path.stem not in many.names("reports")
    assert len(many.names("reports")) == 19
