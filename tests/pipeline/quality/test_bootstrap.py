"""Intervals by drawing rows again: coverage is shown by benchmarks/verdicts/metric_intervals.py; here, what must hold of each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.quality import bootstrap, classification, ranking, regression, segmentation
from pipeline.quality.detection import mean_average_precision
from pipeline.quality.statistic import mean, plain
from tests.support.detections import drawn


def statistics(random, rows):
    labels, scores = random.integers(0, 3, rows), random.random((rows, 3))
    targets = random.normal(size=(rows, 2))
    maps = random.integers(0, 3, (2, rows, 4, 4))
    return {
        "top-1": classification.top_k(labels, scores),
        "balanced": classification.balanced_accuracy(labels, scores.argmax(1), 3),
        "f1": classification.f1(labels, scores.argmax(1), 3),
        "auroc": ranking.auroc(labels == 0, scores[:, 0]),
        "precision": ranking.average_precision(labels == 0, scores[:, 0]),
        "equal error": ranking.equal_error_rate(labels == 0, scores[:, 0]),
        "mae": regression.mean_absolute_error(targets, targets + 1),
        "rmse": regression.root_mean_square_error(targets, targets * 2),
        "r2": regression.r2(targets, targets + random.normal(size=(rows, 2))),
        "iou": segmentation.mean_iou(maps[0], maps[1], 3),
        "pixels": segmentation.pixel_accuracy(maps[0], maps[1]),
    }


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(4, 60))
def test_a_weight_of_two_is_a_row_that_comes_twice(seed, rows):
    random = np.random.default_rng(seed)
    weights = random.integers(0, 4, rows)
    weights[random.integers(0, rows)] = 1

    def of(some):
        """The statistics of these rows of the same drawing."""
        random = np.random.default_rng(seed)
        labels, scores = random.integers(0, 3, rows)[some], random.random((rows, 3))[some]
        targets, maps = random.normal(size=(rows, 2))[some], random.integers(0, 3, (2, rows, 4, 4))[:, some]
        return (
            classification.top_k(labels, scores), classification.f1(labels, scores.argmax(1), 3),
            classification.balanced_accuracy(labels, scores.argmax(1), 3), ranking.auroc(labels == 0, scores[:, 0]),
            ranking.average_precision(labels == 0, scores[:, 0]), ranking.equal_error_rate(labels == 0, scores[:, 0]),
            regression.root_mean_square_error(targets, targets * 2), segmentation.mean_iou(maps[0], maps[1], 3),
        )  # fmt: skip

    for once, twice in zip(of(np.arange(rows)), of(np.repeat(np.arange(rows), weights)), strict=True):
        np.testing.assert_allclose(once.value(weights[None].astype(float))[0], plain(twice), atol=1e-12)


@pytest.mark.parametrize("name", list(statistics(np.random.default_rng(0), 9)))
def test_an_interval_holds_the_value_and_is_the_same_again(name):
    one = statistics(np.random.default_rng(1), 200)[name]
    found = bootstrap.of_value(one, seed=3, draws=200)
    assert found.value == plain(one)
    assert found.low <= found.value <= found.high
    assert found == bootstrap.of_value(one, seed=3, draws=200)
    assert found != bootstrap.of_value(one, seed=4, draws=200) or found.low == found.high


def test_a_difference_of_a_model_from_itself_is_none():
    for one in statistics(np.random.default_rng(2), 50).values():
        assert bootstrap.of_difference(one, one, seed=0, draws=50) == (0, 0, 0)


def test_pairs_see_what_two_intervals_do_not():
    random = np.random.default_rng(5)
    hard = random.normal(size=1000)
    one, other = mean(hard), mean(hard + 0.02 + 0.02 * random.normal(size=1000))
    alone = bootstrap.of_value(one, seed=0)
    assert alone.high - alone.low > 0.1
    paired = bootstrap.of_difference(other, one, seed=0)
    assert 0.015 < paired.low < 0.02 < paired.high < 0.025


def test_draws_in_parts_are_those_in_one(monkeypatch):
    one = statistics(np.random.default_rng(6), 40)["auroc"]
    whole = bootstrap.of_value(one, seed=1, draws=101)
    monkeypatch.setattr(bootstrap, "AT_ONCE_VALUES", 400)
    monkeypatch.setattr(ranking, "AT_ONCE_VALUES", 100)
    assert bootstrap.of_value(one, seed=1, draws=101) == whole


def test_mean_average_precision_is_drawn_too():
    one = mean_average_precision(*drawn(1))
    other = mean_average_precision(*drawn(1, blur=4.5))
    found = bootstrap.of_difference(other, one, seed=0, draws=100)
    assert found.low < found.value < found.high < 0


def test_other_rows_are_no_pairs():
    with pytest.raises(ValueError, match="3 rows of the candidate, 4 of the baseline"):
        bootstrap.of_difference(mean(np.ones(3)), mean(np.ones(4)), seed=0)
