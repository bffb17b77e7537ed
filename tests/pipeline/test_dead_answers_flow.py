"""A detector whose scores are dead in 8 bits, the whole way: boxes in pixels and scores from 0 to 1 share one output, and so one scale."""

import msgspec
import numpy as np
import pytest

from pipeline.records import RunRecord
from pipeline.store import Store
from tests.support.commands import edgepress

pytestmark = pytest.mark.frameworks

PLAN = """[model]
path = "model.onnx"
[data]
calibration = "more.npz"
evaluation = "rows.npz"
[convert]
formats = ["onnx-int8"]
[measure]
launches = 1
timed_seconds = 0.01
meters = []
operators = false
{more}
"""


def write_model(path, pixels):
    """y = (x @ w * pixels, sigmoid(x @ v)), of a row (6,): three columns of boxes and two of scores."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["raw"]),
        helper.make_node("Mul", ["raw", "pixels"], ["boxes"]),
        helper.make_node("MatMul", ["x", "v"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["y"], axis=1),
    ]
    weights = [
        numpy_helper.from_array(random.normal(size=(6, 3)).astype("f4"), "w"),
        numpy_helper.from_array(random.normal(size=(6, 2)).astype("f4"), "v"),
        numpy_helper.from_array(np.float32(pixels), "pixels"),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    def run(pixels, more=""):
        folder = tmp_path_factory.mktemp("dead")
        write_model(folder / "model.onnx", pixels)
        for seed, name in enumerate(("rows", "more")):
            x = np.random.default_rng(seed).normal(size=(60, 6)).astype("f4")
            labels = {"y": np.zeros((60, 5), np.float32)} if "[task]" in more else {}
            np.savez(folder / f"{name}.npz", x=x, **labels)
        (folder / "edge.toml").write_text(PLAN.format(more=more))
        said = edgepress("run", folder / "edge.toml", "-q")
        record = msgspec.json.decode(Store(folder / ".edgepress").latest_run(), type=RunRecord)
        return said, record, next((folder / ".edgepress" / "reports").rglob("report.md")).read_text()

    return run


@pytest.mark.parametrize("more", ["", "[limits]\nsize_bytes = 100_000"])
def test_dead_scores_are_no_success(run, more):
    said, record, report = run(300, more)
    assert said.returncode == 3, said.stdout
    (made,) = [one for one in record.converted if one.format == "onnx-int8"]
    (kept,) = made.agreement.signals
    assert (kept.dead_channels, kept.dead, kept.axis) == ((3, 4), False, 1)
    assert kept.snr_db > 15
    (board,) = [one.accuracy.signals for one in record.measured.measurements if one.format == "onnx-int8"]
    assert board[0].dead_channels == (3, 4)
    text = " ".join(said.stdout.split())
    assert "2 of the 5 along axis 1 of its answers (3, 4) are dead: as far from the model's as those vary" in text
    assert "Let the model answer them in outputs of their own" in text
    assert "INCONCLUSIVE Not a success, because of dead answers of original onnx-int8" in text
    assert "What outputs keep" in report
    assert "5 along axis 1" in report


def test_the_same_with_boxes_of_the_size_of_scores_is_one(run):
    said, record, _ = run(1)
    assert said.returncode == 0, said.stdout
    (kept,) = next(one for one in record.converted if one.format == "onnx-int8").agreement.signals
    assert min(kept.channels_db) > 15
    assert "dead answers" not in said.stdout


LABELLED = """[task]
kind = "regression"
metric = "mae"
[limits]
metric_{limit}
"""


@pytest.mark.parametrize(("limit", "code", "ends"), [("drop = 5.0", 0, "PASS"), ("at_most = 1.0", 1, "REGRESSED")])
def test_where_a_metric_from_labels_is_limited_it_decides(run, limit, code, ends):
    """The user said what the answers are for: the dead columns are told, and what they cost is in the metric."""
    said, record, report = run(300, LABELLED.format(limit=limit))
    assert said.returncode == code, said.stdout
    (made,) = [one for one in record.measured.measurements if one.format == "onnx-int8"]
    assert [(each.what, each.invalid, each.withholds) for each in made.doubts if each.touches == "accuracy"] == [
        ("dead answers", False, "")
    ]
    assert ends in said.stdout
    assert "what is dead counts there as it is" in " ".join(report.split())
