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
    assert said.returncode in (0, 3), said.stderr
    return said, msgspec.json.decode(Store(folder / ".edgepress").latest_run(), type=RunRecord)


def test_a_row_is_timed_through_the_functions_and_the_model(folder):
    said, record = run(folder, JUDGING)
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
        text = (folder / ".edgepress" / "reports" / record.run_id / name).read_text()
        assert ("end_to_end" if name == "report.json" else "End to end") in text


ON_THE_BOARD = """import sys
import numpy as np

def tripled(outputs):
    if "device_agent.bench.runner" in sys.modules:
        __import__("os")._exit(7)
    return {"scaled": outputs["y"] * 3}
"""


def test_a_function_that_fails_on_the_board_alone_leaves_the_numbers_of_the_model(folder):
    """The rows are what the model takes here: one function is enough."""
    plan = PLAN.replace('preprocess = "judging:scaled"\n', "").replace("rows.npz", "plain.npz")
    np.savez(folder / "plain.npz", x=X, labels=labels_of("regression"))
    said, record = run(folder, ON_THE_BOARD, plan)
    assert "on 32 evaluation rows, drawn by the seed" in said.stderr
    (one,) = record.measured.measurements
    assert one.latency.median_s > 0
    assert one.accuracy.qualities
    assert one.end_to_end.latency is None
    (doubt,) = one.end_to_end.doubts
    assert doubt.evidence.startswith(
        "on the board, task.postprocess: exit in phase postprocess: the runner ended with exit"
    )
    assert "The numbers of the model itself are valid." in doubt.remedy
    assert "not measured" in said.stdout
    page = (folder / ".edgepress" / "reports" / record.run_id / "report.html").read_text()
    assert "task.postprocess: exit in phase postprocess" in page


def test_a_file_that_needs_more_than_numpy_is_refused_before_anything_is_made(folder):
    (folder / "judging.py").write_text("import scipy.special\n" + JUDGING)
    (folder / "edge.toml").write_text(PLAN)
    refused(
        edgepress("run", folder / "edge.toml", "-q"), 2,
        "measure.end_to_end: task.preprocess: judging.py imports 'scipy.special' (line 1), which a board does not have",
    )  # fmt: skip
