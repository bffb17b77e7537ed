"""Labels that are taken in one way without a word of the plan: certain, and said in one line."""

import numpy as np
import pytest

from pipeline import load, plan
from pipeline.errors import DataError
from pipeline.progress import Silent
from pipeline.store import Store
from tests.support import detector_models
from tests.support.task_models import WEIGHTS, X, labels_of, write_model

pytestmark = pytest.mark.frameworks
CLASSES = labels_of("classification")
ONE_HOT = np.eye(3)[CLASSES]
SAID = "The labels of data.evaluation are one-hot: the place of the 1 is taken as the class."


def loaded(folder, rows, *, task="", weights=WEIGHTS):
    if not (folder / "model.onnx").exists():
        write_model(folder / "model.onnx", weights)
    np.savez(folder / "rows.npz", **rows)
    (folder / "edge.toml").write_text(f'[model]\npath = "model.onnx"\n[data]\nevaluation = "rows.npz"\n{task}')
    return load.load(plan.read(folder / "edge.toml"), Store(folder / "state"), Silent())[0]


def test_one_hot_labels_are_classes(tmp_path):
    plain = loaded(tmp_path, {"x": X, "y": CLASSES})
    assert plain.notes == ()
    for rows in ({"x": X, "labels": ONE_HOT}, {"x": X, "y": ONE_HOT.astype(bool)}):
        found = loaded(tmp_path, rows)
        assert found.notes == (SAID,)
        assert found.data.evaluation.y == plain.data.evaluation.y
        assert found.model == plain.model
    named = loaded(tmp_path, {"x": X, "y": ONE_HOT}, task='[task]\nkind = "classification"\n')
    assert named.model.qualities[0].value == plain.model.accuracy_ratio
    with pytest.raises(DataError, match="are rows of 4 zeros and ones, but the model has 3 classes"):
        loaded(tmp_path, {"x": X, "labels": np.eye(4)[CLASSES]})
    with pytest.raises(DataError, match=r"the labels are float64 of shape .80, 3., not one integer"):
        loaded(tmp_path, {"x": X, "y": ONE_HOT + ONE_HOT[::-1]})


def test_one_score_with_zeros_and_ones_is_a_binary_classifier(tmp_path):
    true = (X @ WEIGHTS[:, :1] > 0).astype(int)[:, 0]
    found = loaded(tmp_path, {"x": X, "y": true}, weights=WEIGHTS[:, :1])
    assert found.notes == (
        'The labels are 0 and 1, and an answer is one number: judged as [task] kind = "binary", by AUROC.',
    )
    assert (found.data.tasks[0].kind, found.model.qualities[0].value) == ("binary", 1.0)
    assert not found.model.classes
    for y in (true + 1, true * 0):
        with pytest.raises(DataError, match="has no classes to compare with") as raised:
            loaded(tmp_path, {"x": X, "y": y})
        assert '[task]: kind = "binary", or "regression"' in raised.value.hint


def test_what_is_decided_of_a_detector(tmp_path):
    labels, boxes, kinds, scores = detector_models.drawn()
    shapes = {"kinds": (4,), "count": (), "boxes": (4, 4), "likely": (4,)}
    detector_models.write_copies(tmp_path / "model.onnx", shapes)
    rows = {"kinds": kinds, "count": np.full(40, 4, "float32"), "boxes": boxes[..., [1, 0, 3, 2]], "likely": scores}
    labels[labels[..., 4] == 1] = -1
    task = '[task]\nkind = "detection"\nhead = "ssd"\npicture = [200, 100]\n'
    found = loaded(tmp_path, rows | {"labels": labels}, task=task)
    assert found.notes == (
        "Outputs are taken as boxes: out_boxes, classes: out_kinds, scores: out_likely, count: out_count.",
        "Labelled boxes are taken as pixels of a picture of 200 x 100, by their values.",
        "No row has a box of 1 class (1, from 0): left out of the mean.",
        "mAP of 40 rows reads high: compare it only with mAP of the same rows.",
    )


@pytest.mark.parametrize(
    ("task", "labels", "told"),
    [
        ('kind = "classification"\nmetric = "f1"', np.arange(80) % 2, "1 class (2, from 0)"),
        ('kind = "classification"\nmetric = "balanced_accuracy"', np.eye(3)[np.arange(80) % 2], "1 class (2, from 0)"),
        ('kind = "classification"', np.arange(80) % 2, None),
        ('kind = "classification"\nmetric = "f1"', np.arange(80) % 3, None),
        ('kind = "multilabel"', np.arange(240).reshape(80, 3) % 2 * [1, 0, 1], "1 class (1, from 0)"),
    ],
)
def test_classes_of_which_there_are_no_rows_are_said(tmp_path, task, labels, told):
    found = loaded(tmp_path, {"x": X, "y": labels}, task=f"[task]\n{task}\n")
    notes = [each for each in found.notes if each.startswith("No row has the label of")]
    assert notes == ([f"No row has the label of {told}: what the model makes of them is not judged."] if told else [])
