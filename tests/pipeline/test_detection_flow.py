"""Detectors, the whole way: boxes from the outputs that the board answered, against labelled ones, with a limit."""

import msgspec
import numpy as np
import pytest

from pipeline.records import RunRecord
from pipeline.store import Store
from tests.support import detector_models
from tests.support.commands import edgepress

pytestmark = pytest.mark.frameworks

PLAN = """[model]
path = "model.onnx"
[task]
kind = "detection"
head = "ssd"
labels = "boxes.json"
[data]
evaluation = "rows.npz"
[compare]
baseline = "released.onnx"
[measure]
launches = 1
timed_seconds = 0.01
meters = []
operators = false
[limits]
metric_drop = 0.05
"""


def test_an_ssd_is_judged_by_four_outputs_of_the_board(tmp_path):
    """The new file's boxes are a tenth too large."""
    labels, boxes, kinds, scores = detector_models.drawn()
    detector_models.coco(labels, tmp_path / "boxes.json")
    shapes = {"kinds": (4,), "count": (), "boxes": (4, 4), "likely": (4,)}
    detector_models.write_copies(tmp_path / "released.onnx", shapes)
    detector_models.write_copies(tmp_path / "model.onnx", shapes, 1.1)
    turned = np.ascontiguousarray(boxes[..., [1, 0, 3, 2]])
    np.savez(tmp_path / "rows.npz", kinds=kinds, count=np.full(40, 4, "float32"), boxes=turned, likely=scores)
    (tmp_path / "edge.toml").write_text(PLAN)
    said = edgepress("run", tmp_path / "edge.toml", "-q")
    assert said.returncode == 1, said.stderr
    record = msgspec.json.decode(Store(tmp_path / ".edgepress").latest_run(), type=RunRecord)
    (verdict,) = [each for each in record.compared.verdicts if each.metric == "metric_drop"]
    assert verdict.outcome == "REGRESSED"
    assert 0.5 < verdict.baseline < 1
    assert verdict.candidate < verdict.baseline - 0.1
    assert 0.05 < verdict.low < verdict.change < verdict.high
    assert "Quality: mAP@[.5:.95] (higher is better)" in said.stdout
    host = {each.file: each.agreement.quality.value for each in record.converted}
    measured = {each.file: each.accuracy.quality.value for each in record.measured.measurements}
    assert measured == pytest.approx(host)
