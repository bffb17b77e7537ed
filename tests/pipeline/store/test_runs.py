"""Runs have an order of their own: not that of a clock that may go back."""

import os
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from pipeline.errors import StageError
from pipeline.store import runs
from tests.pipeline.store.conftest import NOW
from tests.support.damage import flip

PLAN = Path("/somewhere/edge.toml")


def kept(store, began, says, plan=PLAN):
    run_id = store.next_run_id(began)
    store.keep_run(run_id, msgspec.json.encode({"plan_path": str(plan), "says": says}))
    return run_id


def says(data):
    return msgspec.json.decode(data)["says"]


def test_the_clock_goes_back(folder):
    store = folder.store()
    kept(store, NOW, "first")
    kept(store, NOW - timedelta(days=400), "second")
    assert says(store.latest_run()) == "second"


def test_runs_of_an_older_version_come_first(folder):
    store = folder.store()
    for name in ("20991231-235959-ffffff", "20261101-000000-abcdef"):
        (store.root / "runs" / f"{name}.json").write_bytes(msgspec.json.encode({"plan_path": str(PLAN), "says": name}))
    assert says(store.latest_run()) == "20991231-235959-ffffff"
    kept(store, NOW, "new")
    assert says(store.latest_run()) == "new"
    assert [path.stem for path in runs.in_order(store.root)][:2] == ["20261101-000000-abcdef", "20991231-235959-ffffff"]


def test_the_ten_thousandth(folder):
    store = folder.store()
    (store.root / "sequence").write_text("9998\n")
    kept(store, NOW, "9999")
    assert kept(store, NOW, "10000").startswith("10000-")
    assert says(store.latest_run()) == "10000"


@pytest.mark.parametrize("content", [None, b"", b"x", b"-5", b"\xff", b"9" * 26, b"1e3", b"\xd9\xa3"])
def test_a_lost_sequence_is_found_again_in_the_runs(folder, content):
    store = folder.store()
    first = kept(store, NOW, "first")
    (store.root / "sequence").unlink()
    if content is not None:
        (store.root / "sequence").write_bytes(content)
    assert kept(store, NOW, "second").split("-")[0] == f"{int(first.split('-')[0]) + 1:04d}"


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_no_run(folder, kind):
    store = folder.store()
    kept(store, NOW, "mine")
    path = store.root / "runs" / "9999-20261129-120000-abcdef.json"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    assert says(store.latest_run()) == "mine"
    assert store.next_run_id(NOW).startswith("0002-")


def test_processes_at_once_get_different_numbers(folder):
    folder.store()
    code = """
        import sys
        from datetime import UTC, datetime
        from pathlib import Path
        from pipeline.store import Store
        store = Store(Path(sys.argv[1]))
        for _ in range(20):
            print(store.next_run_id(datetime.now(UTC)).split("-")[0])
    """
    command = [sys.executable, "-c", textwrap.dedent(code), folder.root]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    numbers = [number for process in processes for number in process.communicate(timeout=120)[0].split()]
    assert sorted(map(int, numbers)) == list(range(1, 61))


def test_a_plan_sees_its_own_runs_alone(folder):
    store = folder.store()
    kept(store, NOW, "mine")
    kept(store, NOW, "other", Path("/somewhere/small.toml"))
    assert says(store.latest_run(PLAN)) == "mine"
    assert says(store.latest_run()) == "other"
    assert store.latest_run(Path("/elsewhere/edge.toml")) is None  # a folder of many plans: of that name is not enough


def test_a_folder_that_was_moved_takes_its_runs_along(folder):
    store = folder.store()
    kept(store, NOW, "mine")
    assert says(store.latest_run(folder.root.parent / "edge.toml")) == "mine"


def test_a_run_with_one_bit_changed_is_not_shown_and_no_other_in_its_place(folder):
    store = folder.store()
    kept(store, NOW, "first")
    run_id = kept(store, NOW, "second")
    flip(store.root / "runs" / f"{run_id}.json")
    with pytest.raises(StageError, match=run_id) as caught:
        store.latest_run(PLAN)
    assert "again" in caught.value.hint


def test_a_run_that_another_process_removes_meanwhile_is_passed_over(folder, monkeypatch):
    store = folder.store()
    kept(store, NOW, "first")
    there = runs.in_order(store.root)
    monkeypatch.setattr(runs, "in_order", lambda root: [*there, root / "runs" / "0009-20261129-000000-aaaaaa.json"])
    assert says(store.latest_run()) == "first"
