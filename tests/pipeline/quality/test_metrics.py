"""Each metric against a value worked out by hand, and against scikit-learn on drawn rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn import metrics as sklearn

from pipeline.quality import classification, embedding, ranking, regression, segmentation, sequences
from pipeline.quality.statistic import plain

LABELS = np.array([0, 0, 1, 1, 2])
CHOSEN = np.array([0, 1, 1, 1, 0])
TRUE = np.array([1, 0, 1, 0])
SCORES = np.array([0.9, 0.8, 0.7, 0.1])


def test_by_hand_one_class_for_each_row():
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]])
    assert plain(classification.top_k(np.array([2, 0]), scores)) == 0.5
    assert plain(classification.top_k(np.array([2, 0]), scores, 2)) == 1.0
    assert plain(classification.balanced_accuracy(LABELS, CHOSEN, 3)) == (0.5 + 1.0 + 0.0) / 3
    assert plain(classification.f1(LABELS, CHOSEN, 3)) == pytest.approx((1 / 2 + 4 / 5 + 0) / 3, abs=1e-15)


def test_a_tie_counts_as_argmax_has_it():
    scores = np.ones((1, 3))
    assert [plain(classification.top_k(np.array([label]), scores)) for label in range(3)] == [1, 0, 0]
    assert [plain(classification.top_k(np.array([label]), scores, 2)) for label in range(3)] == [1, 1, 0]


def test_by_hand_scores_of_true_and_false():
    assert plain(ranking.auroc(TRUE, SCORES)) == 3 / 4
    assert plain(ranking.average_precision(TRUE, SCORES)) == (1 + 2 / 3) / 2
    assert plain(ranking.equal_error_rate(TRUE, SCORES)) == 1 / 2
    assert plain(ranking.auroc(TRUE, np.zeros(4))) == 1 / 2
    assert np.isnan(plain(ranking.auroc(np.ones(4), SCORES)))


def test_by_hand_numbers():
    targets, answers = np.array([[1.0, 2.0], [3.0, 6.0]]), np.array([[1.0, 4.0], [2.0, 6.0]])
    assert plain(regression.mean_absolute_error(targets, answers)) == 3 / 4
    assert plain(regression.root_mean_square_error(targets, answers)) == np.sqrt(5 / 4)
    assert plain(regression.r2(targets, answers)) == pytest.approx(((1 - 1 / 2) + (1 - 4 / 8)) / 2)
    np.testing.assert_array_equal(regression.reconstruction_errors(targets, answers), [2, 1 / 2])


def test_by_hand_maps():
    labels = np.array([[[0, 0], [1, 255]], [[2, 2], [2, 2]]])
    chosen = np.array([[[0, 1], [1, 0]], [[2, 2], [2, 0]]])
    assert plain(segmentation.pixel_accuracy(labels, chosen)) == 5 / 7
    assert plain(segmentation.mean_iou(labels, chosen, 4)) == pytest.approx((1 / 3 + 1 / 2 + 3 / 4) / 3)
    assert plain(segmentation.mean_iou(labels, chosen, 256, ignored=None)) == (1 / 4 + 1 / 2 + 3 / 4 + 0) / 4


def test_by_hand_embeddings_and_points():
    one, other = np.array([[1.0, 0], [0, 2]]), np.array([[1.0, 1], [0, 1]])
    assert plain(embedding.cosine_similarity(one, other)) == pytest.approx((np.sqrt(0.5) + 1) / 2)
    assert plain(embedding.cosine_similarity(one, one * 0)) == 0
    near = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.8]])
    assert plain(embedding.recall_at(np.array([7, 7, 8, 9]), near)) == 1 / 2
    assert plain(embedding.recall_at(np.array([7, 7, 8, 9]), near, 3)) == 1 / 2
    points = np.array([[[0.0, 0], [10, 0]], [[0, 0], [0, 0]]])
    found = points + np.array([[[0, 2.0], [0, 2.1]], [[0, 0], [50, 0]]])
    visible = np.array([[True, True], [True, False]])
    assert plain(embedding.correct_keypoints(points, found, np.array([10, 10]), visible)) == 2 / 3


def test_by_hand_sequences():
    assert sequences.edit_distance("kitten", "sitting") == 3
    assert sequences.edit_distance("", "abc") == sequences.edit_distance("abc", "") == 3
    assert plain(sequences.error_rate(["kitten", "ab"], ["sitting", "ab"])) == 3 / 8
    assert plain(sequences.error_rate([["a", "b", "c", "d"]], [["a", "x", "c"]])) == 2 / 4
    assert sequences.greedy_ctc(np.eye(4)[[0, 1, 1, 0, 1, 2, 0]]) == [1, 1, 2]


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_edits_are_a_distance(one, other):
    table = [[i + j if i * j == 0 else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            table[i][j] = min(
                table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (one[i - 1] != other[j - 1])
            )
    assert sequences.edit_distance(one, other) == table[-1][-1]


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 300), st.integers(1, 3))
def test_scores_as_scikit_learn(seed, rows, digits):
    random = np.random.default_rng(seed)
    true = random.integers(0, 2, rows)
    true[:2] = [0, 1]
    scores = np.round(random.normal(size=rows) + true, digits)  # with ties
    weights = random.integers(0, 3, rows)
    weights[:2] = 1
    for ours, theirs in (
        (ranking.auroc, sklearn.roc_auc_score),
        (ranking.average_precision, sklearn.average_precision_score),
    ):
        assert plain(ours(true, scores)) == pytest.approx(theirs(true, scores), abs=1e-13)
        weighted = ours(true, scores).value(weights[None].astype(float))[0]
        assert weighted == pytest.approx(theirs(true, scores, sample_weight=weights), abs=1e-13)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(2, 200), st.integers(2, 6))
def test_classes_as_scikit_learn(seed, rows, classes):
    random = np.random.default_rng(seed)
    labels, scores = random.integers(0, classes, rows), random.random((rows, classes))
    chosen, weights = scores.argmax(1), random.integers(1, 3, rows)
    weighted = {"sample_weight": weights}
    drawn = weights[None].astype(float)
    assert plain(classification.top_k(labels, scores)) == sklearn.accuracy_score(labels, chosen)
    if classes > 2:
        assert classification.top_k(labels, scores, 2).value(drawn)[0] == pytest.approx(
            sklearn.top_k_accuracy_score(labels, scores, k=2, labels=range(classes), **weighted)
        )
    assert classification.f1(labels, chosen, classes).value(drawn)[0] == pytest.approx(
        sklearn.f1_score(labels, chosen, average="macro", **weighted)
    )
    recalls = sklearn.recall_score(labels, chosen, average=None, labels=np.unique(labels), **weighted)
    assert classification.balanced_accuracy(labels, chosen, classes).value(drawn)[0] == pytest.approx(recalls.mean())
    both = random.random((2, rows, classes)) < 0.4
    both[:, 0] = True
    assert classification.f1_of_each(*both).value(drawn)[0] == pytest.approx(
        sklearn.f1_score(*both, average="macro", **weighted)
    )
    assert plain(classification.f1_of_true(both[0, :, 0], both[1, :, 0])) == pytest.approx(
        sklearn.f1_score(both[0, :, 0], both[1, :, 0])
    )


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(3, 200), st.floats(-1e4, 1e4))
def test_numbers_as_scikit_learn(seed, rows, offset):
    random = np.random.default_rng(seed)
    targets = random.normal(size=(rows, 3)) + offset
    answers, weights = targets + random.normal(size=targets.shape), random.integers(1, 3, rows)
    for ours, theirs in (
        (regression.mean_absolute_error, sklearn.mean_absolute_error),
        (lambda *both: _Squared(regression.root_mean_square_error(*both)), sklearn.mean_squared_error),
        (regression.r2, sklearn.r2_score),
    ):
        value = ours(targets, answers).value(weights[None].astype(float))[0]
        assert value == pytest.approx(theirs(targets, answers, sample_weight=weights), rel=1e-9)


class _Squared:
    """scikit-learn's root_mean_squared_error takes the root of each column; the mean of squares is defined alike."""

    def __init__(self, root):
        self.root = root

    def value(self, weights):
        return self.root.value(weights) ** 2


def test_a_column_that_does_not_vary_is_left_out():
    targets = np.stack([np.full(5, 1e3), np.arange(5.0)], axis=1)
    assert plain(regression.r2(targets, targets + 0.5)) == pytest.approx(1 - 0.25 / 2)
    assert np.isnan(plain(regression.r2(targets[:, :1], targets[:, :1] + 1)))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 30))
def test_maps_as_scikit_learn(seed, rows):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, (rows, 5, 6))
    chosen = np.where(random.random(labels.shape) < 0.6, labels, random.integers(0, 4, labels.shape))
    flat = (labels.ravel(), chosen.ravel())
    assert plain(segmentation.mean_iou(labels, chosen, 4)) == pytest.approx(
        sklearn.jaccard_score(*flat, average="macro")
    )
    assert plain(segmentation.pixel_accuracy(labels, chosen)) == pytest.approx(sklearn.accuracy_score(*flat))


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 200))
def test_the_equal_error_rate_is_where_both_rates_meet(seed, rows):
    random = np.random.default_rng(seed)
    true = random.integers(0, 2, rows)
    true[:2] = [0, 1]
    scores = np.round(random.normal(size=rows) + true, 1)
    alarm, found, _ = sklearn.roc_curve(true, scores, drop_intermediate=False)
    place = np.arange(len(alarm))

    def gap(at):
        return np.interp(at, place, 1 - found) - np.interp(at, place, alarm)

    rate = np.interp(brentq(gap, 0, len(alarm) - 1), place, alarm)
    assert plain(ranking.equal_error_rate(true, scores)) == pytest.approx(rate, abs=1e-9)
