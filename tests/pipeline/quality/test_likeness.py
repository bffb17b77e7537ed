"""How like two files answer, in the terms of the task, where there are no labels."""

import numpy as np
import pytest

from pipeline.quality import likeness
from pipeline.records import Detector, Task
from tests.support.detector_models import PICTURE, drawn


def between(kind, answers, exact, **settings):
    task = Task(kind=kind, metric="", title="", higher_is_better=True, ratio=True, **settings)
    found = likeness.between(task, {"y": np.asarray(answers)}, {"y": np.asarray(exact)})
    return found and (found.title, found.value)


def test_classes_and_decisions():
    exact = np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
    answers = exact.copy()
    answers[2] = 0.4, 0.6
    assert between("classification", answers, exact) == ("same top class", 0.75)
    assert between("binary", answers, exact) == ("same decision", 0.75)
    assert between("binary", answers[:, 1], exact[:, 1]) == ("same decision", 0.75)
    assert between("binary", answers[:, 1], exact[:, 1], threshold=0.65)[1] == 1
    assert between("multilabel", answers, exact) == ("same decisions", 0.75)
    logits = np.array([-3.0, 2.0, 0.1, -0.1])
    assert between("binary", -logits, logits)[1] == 0


@pytest.mark.parametrize("axis", [1, 3])
def test_maps_of_scores_and_of_classes(axis):
    right = np.array([[[0, 0], [1, 1]]] * 3)
    chosen = right.copy()
    chosen[0, 1, 0] = 0
    both, either = np.array([6, 5]), np.array([7, 6])
    found = between("segmentation", chosen, right)
    assert found == ("mean IoU with the model's maps", pytest.approx((both / either).mean()))
    scores = [np.moveaxis(np.eye(2)[each], 3, axis) for each in (chosen, right)]
    for side in {1, 2, 3} - {axis}:  # pixels are more than classes
        scores = [np.repeat(each, 3, axis=side) for each in scores]
    assert between("segmentation", *scores)[1] == pytest.approx(found[1])
    masks = [each[..., None].astype("f4") for each in (chosen, right)]
    assert between("segmentation", *masks)[1] == pytest.approx(found[1])


def test_embeddings_and_symbols():
    one, other = np.array([[1.0, 0], [0, 2]]), np.array([[1.0, 1], [0, 1]])
    assert between("embedding", one, other)[1] == pytest.approx((np.sqrt(0.5) + 1) / 2)
    exact = np.eye(4)[[[1, 0, 2, 3], [1, 1, 0, 2]]]
    answers = exact.copy()
    answers[0, 3] = np.eye(4)[0]
    assert between("sequence", answers, exact) == ("symbol error rate against the model's", pytest.approx(1 / 5))


def test_where_there_is_no_such_number():
    rows = np.ones((4, 3))
    assert between("custom", rows, rows) is None
    assert between("regression", rows, rows) is None
    assert between("sequence", rows, rows) is None
    assert between("segmentation", rows, rows) is None
    assert between("embedding", rows, rows[:2]) is None
    assert between("keypoints", rows[:, :2], rows[:, :2]) is None
    maps = np.zeros((2, 4, 4), np.int64)
    assert between("segmentation", maps, maps)[1] == 1
    assert between("segmentation", maps + 2**40, maps) is None
    assert between("segmentation", maps - 1, maps) is None


def test_points_within_a_share_of_the_size_of_the_models():
    exact = np.array([[[0.0, 0], [10, 0], [5, 10]], [[0, 0], [20, 0], [10, 20]]])
    answers = exact.copy()
    answers[:, 0] += 2.5  # 3.5 away, of objects of 10 and of 20
    answers[1, 2] += 30
    assert between("keypoints", answers, exact) == ("points as the model's", pytest.approx(4 / 6))
    assert between("keypoints", answers, exact, share=0.5)[1] == pytest.approx(5 / 6)
    with_scores = [np.concatenate([each, np.ones((2, 3, 1))], axis=2) for each in (answers, exact)]
    assert between("keypoints", *with_scores)[1] == pytest.approx(4 / 6)


def test_flat_points_are_known_where_a_row_leaves_one_width():
    exact = np.random.default_rng(0).uniform(0, 100, (3, 5, 2))
    flat = [each.reshape(3, -1) for each in (exact + 100, exact)]
    assert between("keypoints", *flat) == ("points as the model's", 0)
    assert between("keypoints", flat[1], flat[1])[1] == 1
    six = [each[:, :6] for each in flat]  # three points of two values, or two of three
    assert between("keypoints", *six) is None


def boxes_of(boxes, kinds, scores):
    return {"y": np.concatenate([boxes, scores[..., None], kinds[..., None]], axis=2)}


def test_boxes_are_matched_by_overlap_and_class():
    """Those of a score below the threshold are of neither."""
    _, boxes, kinds, scores = drawn()
    sure = int((scores >= 0.5).sum())
    task = Task(
        kind="detection", metric="map", title="", higher_is_better=True, ratio=True, detector=Detector(head="boxes", unit="shares")
    )  # fmt: skip
    exact = boxes_of(boxes, kinds, scores)
    assert likeness.between(task, exact, exact, PICTURE).value == 1
    other, moved = kinds.copy(), boxes.copy()
    row, slot = np.argwhere(scores >= 0.5)[0]
    other[row, slot] += 1
    moved[row, slot] += 0.5
    for changed in (boxes_of(boxes, other, scores), boxes_of(moved, kinds, scores)):
        found = likeness.between(task, changed, exact, PICTURE)
        assert found.title == "boxes as the model's (F1 at an IoU of 0.5)"
        assert found.value == pytest.approx((sure - 1) / sure)
    lost = scores.copy()
    lost[row, slot] = 0.4
    missing = likeness.between(task, boxes_of(boxes, kinds, lost), exact, PICTURE)
    assert missing.value == pytest.approx(2 * (sure - 1) / (2 * sure - 1))
    assert likeness.between(task, boxes_of(boxes, kinds, scores * 0), boxes_of(boxes, kinds, scores * 0)) is None
    assert likeness.between(task, {"y": np.ones((4, 3))}, exact) is None
