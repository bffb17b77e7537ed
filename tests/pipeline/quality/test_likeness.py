"""How like two files answer, in the terms of the task, where there are no labels."""

import numpy as np
import pytest

from pipeline.quality import likeness
from pipeline.records import Task


def between(kind, answers, exact, **settings):
    task = Task(kind=kind, metric="", title="", higher_is_better=True, ratio=True, **settings)
    return likeness.between(task, np.asarray(answers), np.asarray(exact))


def test_classes_and_decisions():
    exact = np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
    answers = exact.copy()
    answers[2] = 0.4, 0.6
    assert between("classification", answers, exact) == ("same top class", 0.75)
    assert between("binary", answers, exact) == ("same decision", 0.75)
    assert between("binary", answers[:, 1], exact[:, 1]) == ("same decision", 0.75)
    assert between("binary", answers[:, 1], exact[:, 1], threshold=0.65).value == 1
    assert between("multilabel", answers, exact) == ("same decisions", 0.75)
    logits = np.array([-3.0, 2.0, 0.1, -0.1])
    assert between("binary", -logits, logits).value == 0


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
    assert between("segmentation", *scores).value == pytest.approx(found.value)
    masks = [each[..., None].astype("f4") for each in (chosen, right)]
    assert between("segmentation", *masks).value == pytest.approx(found.value)


def test_embeddings_and_symbols():
    one, other = np.array([[1.0, 0], [0, 2]]), np.array([[1.0, 1], [0, 1]])
    assert between("embedding", one, other).value == pytest.approx((np.sqrt(0.5) + 1) / 2)
    exact = np.eye(4)[[[1, 0, 2, 3], [1, 1, 0, 2]]]
    answers = exact.copy()
    answers[0, 3] = np.eye(4)[0]
    assert between("sequence", answers, exact) == ("symbol error rate against the model's", pytest.approx(1 / 5))


def test_where_there_is_no_such_number():
    rows = np.ones((4, 3))
    assert likeness.between(None, rows, rows) is None
    assert between("regression", rows, rows) is None
    assert between("sequence", rows, rows) is None
    assert between("segmentation", rows, rows) is None
    assert between("embedding", rows, rows[:2]) is None
