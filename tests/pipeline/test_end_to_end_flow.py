"""[measure] end_to_end, the whole way: the user's own functions are timed on the board with the model, and cost it nothing where they fail."""

import msgspec
import numpy as np
import pytest

from pipeline.records import RunRecord
from pipeline.store import Store
from tests.support.commands import edgepress, refused
from tests.support.task_models import WEIGHTS, X, labels_of, write_model

pytestmark = pytest.mark.frameworks

PLAN = """seed = 3
[model]
path = "model.onnx"
[task]
kind = "regression"
output = "scaled"
preprocess = "judging:scaled"
postprocess = "judging:tripled"
[data]
evaluation = "rows.npz"
[measure]
end_to_end = true
launches = 2
timed_seconds = 0.02
meters = []
operators = false
"""
JUDGING = """import json
import numpy as np
import numpy.linalg

def scaled(rows):
    return {"x": (rows["picture"] / 256).astype("float32")}

def tripled(outputs):
    return {"scaled": outputs["y"] * 3}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("end_to_end")
    write_model(folder / "model.onnx", WEIGHTS)
    np.savez(folder / "rows.npz", picture=X * 256, labels=labels_of("regression"))
    return folder


def run(folder, judging, plan=PLAN):
    (folder / "judging.py").write_text(judging)
    (folder / "edge.toml").write_text(plan)
    said = edgepress("run", folder / "edge.toml")
    return said, msgspec.json.decode(Store(folder / ".edgepress").latest_run(), type=RunRecord)


def test_a_row_is_timed_through_the_functions_and_the_model(folder):
    said, record = run(folder, JUDGING)
    assert said.returncode in (0, 3), said.stderr
    assert "judging.py runs on the board, on 32 evaluation rows as they are before [task] preprocess" in said.stderr
    (one,) = record.measured.measurements
    timed = one.end_to_end
    assert timed.latency.launches == 2
    assert timed.latency.median_s > one.latency.median_s > 0
    parts = timed.preprocess_s + timed.inference_s + timed.postprocess_s
    assert min(timed.preprocess_s, timed.inference_s, timed.postprocess_s) > 0
    assert parts == pytest.approx(timed.latency.median_s, rel=0.5)
    assert sum(timed.shares) == pytest.approx(1)
    assert not {"no end-to-end latency", "functions differ", "golden differs"} & {each.what for each in timed.doubts}
    asked = record.loaded.data.end_to_end
    assert (asked.fed, asked.outputs, asked.gives) == ({"x": "x"}, ("y",), {"scaled": (3,)})
    before = np.load(Store(folder / ".edgepress").path(asked.before.columns[0].artifact))
    indices = np.load(Store(folder / ".edgepress").path(asked.before.indices))
    assert np.array_equal(before, (X * 256)[indices])
    assert len(record.deployment.end_to_end) == 3
    assert "End to end" in said.stdout
    assert "preprocess judging:scaled" in said.stdout
    for name in ("report.html", "report.md", "report.json"):
        text = next((folder / ".edgepress").rglob(name)).read_text()
        assert ("end_to_end" if name == "report.json" else "End to end") in text


HIDDEN = "def tripled(outputs):\n    {}\n    return {{'scaled': outputs['y'] * 3}}\n"
ON_THE_BOARD = 'import sys\nBOARD = "device_agent.wire" in sys.modules and "msgspec" not in sys.modules\n'


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("if BOARD: raise KeyError('on it')", "on the board, task.postprocess: judging:tripled raised KeyError: 'on it' (judging.py, line "),
        ("__import__('os')._exit(0) if BOARD else None", "on the board, task.postprocess: exit in phase postprocess"),
        ("np.ones(1 << 29) if BOARD else None", "on the board, task.postprocess: judging:tripled raised "),
        ("[__import__('os').write(fd, b'noise\\n') for fd in range(3, 9)] if BOARD else None", "on the board, task.postprocess: judging:tripled raised OSError"),
        ("return {'scaled': outputs['y'][:, :2]} if BOARD else {'scaled': outputs['y'] * 3}", "task.postprocess gives 'scaled' (2,) for a row on the board, and 'scaled' (3,) on this host"),
    ],
)  # fmt: skip
def test_a_function_that_fails_on_the_board_alone_leaves_the_numbers_of_the_model(folder, line, words):
    said, record = run(folder, ON_THE_BOARD + JUDGING.partition("def tripled")[0] + HIDDEN.format(line))
    (one,) = record.measured.measurements
    assert one.latency.median_s > 0
    assert one.accuracy.quality is not None
    doubt = next(each for each in one.end_to_end.doubts if each.what in ("no end-to-end latency", "functions differ"))
    assert words in doubt.evidence
    assert doubt.invalid
    assert said.returncode in (0, 3), said.stderr
    assert words in said.stdout
    assert "invalid" in said.stdout or "not measured" in said.stdout


@pytest.mark.parametrize(
    ("judging", "words"),
    [
        ("import helper\n" + JUDGING, "task.preprocess: judging.py imports 'helper' (line 1), which a board does not have"),
        (JUDGING.replace('    return {"scaled', '    import scipy.special\n    return {"scaled'), "judging.py imports 'scipy.special' (line 9)"),
        ('__import__("msgspec")\n' + JUDGING, "alone in its folder and with numpy, as on a board, task.preprocess: judging:scaled failed: ModuleNotFoundError: No module named 'msgspec'"),
        (JUDGING.replace('    return {"x"', "    rows['picture'] *= 2\n    return {\"x\""), "task.preprocess: judging:scaled raised ValueError: "),
        (JUDGING.replace("/ 256)", "/ rows['picture'].max())"), "task.preprocess: judging:scaled makes something else of a row that is alone than of the same row among others"),
        (JUDGING.replace("* 3}", "* np.random.default_rng().random()}"), "task.postprocess: judging:tripled gives something else for the same row when it is alone"),
        (JUDGING.replace("* 3}", "* np.load(__file__.replace('judging.py', 'three.npy'))}"), "task.postprocess: judging:tripled raised FileNotFoundError"),
    ],
)  # fmt: skip
def test_what_a_board_cannot_run_is_refused_before_anything_is_sent(folder, judging, words):
    (folder / "judging.py").write_text(judging)
    (folder / "edge.toml").write_text(PLAN)
    np.save(folder / "three.npy", np.float32(3))
    refused(edgepress("load", folder / "edge.toml", "-q"), 2, "measure.end_to_end", words)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("".join(line for line in PLAN.splitlines(keepends=True) if "judging" not in line), "[task] names neither preprocess nor postprocess"),
        (PLAN.replace('[data]\nevaluation = "rows.npz"\n', ""), "there are no rows to run the functions on"),
        (PLAN.replace("[task]", "sequences = true\n[task]"), "rows are sequences"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_timed_so_is_refused(folder, plan, words):
    (folder / "judging.py").write_text(JUDGING)
    (folder / "edge.toml").write_text(plan)
    refused(edgepress("load", folder / "edge.toml", "-q"), 2, "measure.end_to_end", words)


def test_one_function_is_enough(folder):
    plan = PLAN.replace('preprocess = "judging:scaled"\n', "").replace("rows.npz", "plain.npz")
    np.savez(folder / "plain.npz", x=X, labels=labels_of("regression"))
    said, record = run(folder, JUDGING, plan)
    (one,) = record.measured.measurements
    assert one.end_to_end.latency.median_s > 0, said.stdout
    assert record.loaded.data.end_to_end.preprocess is None
    assert "on 32 evaluation rows, drawn by the seed" in said.stderr
