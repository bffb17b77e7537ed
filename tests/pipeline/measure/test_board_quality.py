"""A detector of four outputs, judged by what a board sends, whatever that is."""

import hashlib
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from device_agent.record import replace
from pipeline.measure.accuracy import accuracy_of
from pipeline.plan_tables import LimitsTable
from pipeline.records import Column, Converted, Data, Detector, Rows, Task, TensorSpec
from pipeline.store import Store
from tests.support.detector_models import PICTURE, drawn
from tests.support.experiments import experiment_of
from tests.support.launched import CLEAN

LABELS, BOXES, KINDS, SCORES = drawn()
HERE = {"kinds": KINDS, "count": np.full(40, 4, "float32"), "boxes": BOXES[..., [1, 0, 3, 2]].copy(), "likely": SCORES}
ROLES = {"boxes": "boxes", "classes": "kinds", "scores": "likely", "count": "count"}


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.fixture
def judged(tmp_path):
    """What is found where the board answers other arrays for some outputs. The file calls them otherwise than the model does."""
    store, sent = Store(tmp_path / "store"), {}

    def put(array):
        return store.put_bytes(npy(array), "npy")

    specs = tuple(
        TensorSpec(name=f"file:{name}", shape=(1, *each.shape[1:]), dtype="float32") for name, each in HERE.items()
    )
    converted = Converted(
        variant="original", format="onnx-fp32", artifact=put(np.zeros(1)), agreement=None, outputs=specs,
        answers=tuple(put(each) for each in HERE.values()), source_answers=tuple(put(each) for each in HERE.values()),
    )  # fmt: skip
    detector = Detector(head="ssd", outputs=ROLES, picture=PICTURE)
    task = Task(
        kind="detection",
        metric="map",
        title="mAP",
        higher_is_better=True,
        ratio=True,
        names=tuple(HERE),
        detector=detector,
    )
    column = Column(name="x", artifact=put(KINDS), shape=(4,), dtype="float32")
    rows = Rows(inputs=(column,), y=None, targets=put(LABELS), rows=40)

    def find(**others):
        answers = [npy(others.get(name, each)) for name, each in HERE.items()]
        sent.update({hashlib.sha256(each).hexdigest(): each for each in answers})
        experiment = experiment_of(
            store=store, data=Data(evaluation=rows, tasks=(task,)), session=SimpleNamespace(get=lambda sha256, _: sent[sha256]),
            deployment=SimpleNamespace(evaluation_indices=put(np.arange(40))), plan=SimpleNamespace(folder=Path(), tables=SimpleNamespace(limits=LimitsTable())),
        )  # fmt: skip
        candidate = SimpleNamespace(converted=converted, runtime="onnxruntime", label="this file")
        digests = tuple(hashlib.sha256(each).hexdigest() for each in answers)
        return accuracy_of(experiment, candidate, replace(CLEAN, outputs_sha256=digests))

    return find


def test_outputs_are_judged_together_by_the_names_of_the_model(judged):
    found = judged()
    assert found.doubts == ()
    assert 0.4 < found.accuracy.qualities[0].value < 0.9
    worse = judged(likely=1 - SCORES)
    assert worse.accuracy.qualities[0].value < found.accuracy.qualities[0].value


@pytest.mark.parametrize("scores", [SCORES > 0, (SCORES * 200).astype("uint8"), SCORES.astype("float16")], ids=str)
def test_numbers_of_any_type(judged, scores):
    assert judged(likely=scores).accuracy.qualities[0].value > 0.3


def test_an_output_that_is_not_there_leaves_no_quality_and_a_doubt(judged):
    wrong = judged(likely=SCORES * np.nan)
    assert (wrong.accuracy, [each.what for each in wrong.doubts]) == (None, ["answers that are not numbers"])
    other = judged(likely=SCORES[:, :3])
    assert other.accuracy.qualities == ()
    assert other.doubts


def test_boxes_in_a_wrong_order_are_a_doubt_that_says_so(judged):
    found = judged(boxes=BOXES[..., [2, 3, 0, 1]].copy())
    assert found.accuracy.qualities == ()
    (doubt,) = [each for each in found.doubts if each.what == "no accuracy"]
    assert "have their right side left of their left one" in doubt.evidence
    assert "name another head" in doubt.remedy


def test_what_the_board_answers_is_compared_with_the_model_in_the_terms_of_the_task(judged):
    """Boxes of which the model is sure, matched by overlap and class."""
    (same,) = judged().accuracy.alike
    assert (same.title, same.value, same.task) == ("boxes as the model's (F1 at an IoU of 0.5)", 1, "")
    (other,) = judged(kinds=np.where(np.arange(40)[:, None] < 20, KINDS, KINDS + 9)).accuracy.alike
    sure = (SCORES >= 0.5).sum(1)
    assert other.value == pytest.approx(sure[:20].sum() / sure.sum())
