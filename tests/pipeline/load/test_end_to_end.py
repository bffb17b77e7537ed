"""[measure] end_to_end: functions that cannot run on a board are refused before anything is sent."""

import numpy as np
import pytest

from pipeline.errors import DataError, PlanError
from pipeline.load import end_to_end, rows_before
from pipeline.records import Artifact, Column, Data, Rows, Task
from pipeline.store import Store
from tests.support.plans import read

PLAN = """[model]
path = "model.onnx"
[task]
kind = "regression"
preprocess = "judging:scaled"
postprocess = "judging:tripled"
[data]
evaluation = "rows.npz"
[measure]
end_to_end = true
"""
JUDGING = """import json
from numpy import linalg

def scaled(rows):
    return {"x": rows["picture"] / 256}

def tripled(outputs):
    return {"scaled": outputs["y"] * 3}
"""
X = np.random.default_rng(1).uniform(0, 255, (80, 6))


def checked(folder, judging=JUDGING, plan=PLAN):
    (folder / "judging.py").write_text(judging)
    end_to_end.check(read(folder, plan))


def artifact(store, array) -> Artifact:
    path = store.tmp / "array.npy"
    np.save(path, array)
    return store.put_file(path, "npy")


def tried(folder, judging):
    """What the child answers, called here."""
    (folder / "plan").mkdir()
    (folder / "plan" / "judging.py").write_text(judging)
    (folder / "scratch").mkdir()
    store = Store(folder / "state")
    np.save(folder / "picture.npy", X)
    scaled = (X / 256).astype("float32")
    column = Column(name="x", artifact=artifact(store, scaled), shape=(6,), dtype="float32")
    data = Data(
        evaluation=Rows(inputs=(column,), y=None, rows=80),
        before=rows_before.drawn({"picture": folder / "picture.npy"}, 3, store),
        tasks=(Task(kind="regression", metric="mae", title="MAE", higher_is_better=False, ratio=False),),
    )
    request = end_to_end.Request(
        root=str(store.root), scratch=str(folder / "scratch"), folder=str(folder / "plan"),
        preprocess="judging:scaled", postprocess="judging:tripled", data=data, answers={"y": artifact(store, scaled[:, :3])}, seed=3,
    )  # fmt: skip
    return end_to_end.work(request, lambda *_: None), store


def test_what_goes_to_the_board(tmp_path):
    found, store = tried(tmp_path, JUDGING)
    assert (found.fed, found.outputs, found.gives) == ({"x": "x"}, ("y",), {"scaled": (3,)})
    assert found.before.rows == 32
    indices = np.load(store.path(found.before.indices))
    assert len(set(indices)) == 32
    assert np.array_equal(np.load(store.path(found.before.columns[0].artifact)), X[indices])
    assert (found.preprocess.module, found.preprocess.name) == ("judging", "scaled")
    assert store.path(found.preprocess.file).read_text() == JUDGING
    assert found.preprocess.file == found.postprocess.file


def test_rows_before_are_bounded_by_their_size(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_before, "MOST_BYTES", 3 * 6 * 8 + 1)
    np.save(tmp_path / "picture.npy", X)
    store = Store(tmp_path / "state")
    assert rows_before.drawn({"picture": tmp_path / "picture.npy"}, 0, store).rows == 3
    monkeypatch.setattr(rows_before, "MOST_BYTES", 1)
    assert rows_before.drawn({"picture": tmp_path / "picture.npy"}, 0, store).rows == 1


ALONE = "alone in its folder and with numpy, as on a board, "


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("import json", '__import__("msgspec")', ALONE + "task.preprocess: judging:scaled failed: ModuleNotFoundError: No module named 'msgspec'"),
        ('    return {"x"', "    __import__('jinja2')\n    return {\"x\"", ALONE + "task.preprocess: judging:scaled raised ModuleNotFoundError"),
        ('    return {"x"', "    rows['picture'] *= 2\n    return {\"x\"", "task.preprocess: judging:scaled raised ValueError: output array is read-only"),
        ("/ 256", "/ rows['picture'].max()", "task.preprocess: judging:scaled makes something else of a row that is alone than of the same row"),
        ("* 3", "* np.random.default_rng().random()", "task.postprocess: judging:tripled gives something else for the same row when it is alone"),
        ("* 3", "* np.load(__file__.replace('judging.py', '../picture.npy'))[0, 0]", ALONE + "task.postprocess: judging:tripled raised FileNotFoundError"),
    ],
)  # fmt: skip
def test_what_cannot_run_on_a_board_is_refused(tmp_path, old, new, words):
    judging = "import numpy as np\n" + JUDGING.replace(old, new)
    with pytest.raises((PlanError, DataError)) as caught:
        tried(tmp_path, judging)
    assert caught.value.message.startswith("measure.end_to_end: ")
    assert words in caught.value.message
    assert "leave end_to_end out" in caught.value.hint


@pytest.mark.parametrize(
    ("judging", "words"),
    [
        ("import helper\n" + JUDGING, "task.preprocess: judging.py imports 'helper' (line 1), which a board does not have"),
        ("from . import helper\n" + JUDGING, "judging.py imports '.' (line 1), another file of yours"),
        ("import other\n" + JUDGING, "judging.py imports 'other' (line 1), another file of yours"),
        (JUDGING + "    import scipy.special as it\n", "judging.py imports 'scipy.special' (line 9), which a board does not have"),
    ],
)  # fmt: skip
def test_what_a_file_imports_is_read(tmp_path, judging, words):
    (tmp_path / "other.py").write_text("")
    checked(tmp_path)
    with pytest.raises(PlanError) as caught:
        checked(tmp_path, judging)
    assert "measure.end_to_end" in caught.value.message
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("".join(line for line in PLAN.splitlines(keepends=True) if "judging" not in line), "[task] names neither preprocess nor postprocess"),
        (PLAN.replace('evaluation = "rows.npz"\n', ""), "there are no rows to run the functions on"),
        (PLAN.replace("[task]", "sequences = true\n[task]"), "rows are sequences"),
        (PLAN.replace("[task]", 'state = { h = "hn" }\n[task]'), "rows are sequences"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_timed_so_is_refused(tmp_path, plan, words):
    with pytest.raises(PlanError) as caught:
        checked(tmp_path, plan=plan)
    assert words in caught.value.message
    checked(tmp_path, plan=plan.replace("end_to_end = true", ""))
