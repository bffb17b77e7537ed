"""Detectors, the whole way: boxes from the outputs that the board answered, against labelled ones, with a limit."""

import numpy as np
import pytest

from tests.support import detector_models
from tests.support.task_plans import run, task_plan, verdict_of

pytestmark = pytest.mark.frameworks

PLAN = task_plan('kind = "detection"\nhead = "ssd"\nlabels = "boxes.json"', "metric_drop = 0.05")


def test_an_ssd_is_judged_by_four_outputs_of_the_board(tmp_path):
    """The new file's boxes are a tenth too large."""
    labels, boxes, kinds, scores = detector_models.drawn()
    detector_models.coco(labels, tmp_path / "boxes.json")
    shapes = {"kinds": (4,), "count": (), "boxes": (4, 4), "likely": (4,)}
    detector_models.write_copies(tmp_path / "released.onnx", shapes)
    detector_models.write_copies(tmp_path / "model.onnx", shapes, 1.1)
    turned = np.ascontiguousarray(boxes[..., [1, 0, 3, 2]])
    np.savez(tmp_path / "rows.npz", kinds=kinds, count=np.full(40, 4, "float32"), boxes=turned, likely=scores)
    said, record = run(tmp_path, PLAN)
    assert said.returncode == 1, said.stderr
    verdict = verdict_of(record)
    assert verdict.outcome == "REGRESSED"
    assert 0.5 < verdict.baseline < 1
    assert verdict.candidate < verdict.baseline - 0.1
    assert 0.05 < verdict.low < verdict.change < verdict.high
    assert "Quality: mAP@[.5:.95] (higher is better)" in said.stdout
    host = {each.file: each.agreement.qualities[0].value for each in record.converted}
    measured = {each.file: each.accuracy.qualities[0].value for each in record.measured.measurements}
    assert measured == pytest.approx(host)
