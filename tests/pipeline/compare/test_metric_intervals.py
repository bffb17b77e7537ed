"""Intervals of a metric by the method that suits it: benchmarks/verdicts/metric_intervals.py shows how often they hold the truth."""

import math

import numpy as np
import pytest

from pipeline.compare import by_value, metric_intervals
from pipeline.compare.by_interval import accuracy_drop
from pipeline.compare.case import Case
from pipeline.compare.metric_intervals import MetricInterval
from pipeline.metrics import CEILING, FLOOR
from pipeline.plan_tables import LimitsTable
from pipeline.quality import ranking, regression, segmentation
from pipeline.quality.detection import mean_average_precision
from pipeline.quality.statistic import mean
from pipeline.records import Measured
from tests.support.detections import drawn
from tests.support.sample_run import measurement


def test_a_share_has_wilsons_interval():
    """The values of scipy.stats.binomtest(...).proportion_ci(method="wilson")."""
    found = metric_intervals.of_value(mean(np.arange(20) < 19), 0, ratio=True)
    assert (found.low, found.high) == pytest.approx((0.763869, 0.991120), abs=1e-5)
    assert found.method == "Wilson"
    assert metric_intervals.of_value(mean(np.ones(20)), 0, ratio=True).high == 1


def test_shares_of_the_same_rows_are_compared_as_accuracy_is():
    random = np.random.default_rng(0)
    one, other = random.random((2, 300)) < 0.8
    found = metric_intervals.of_difference(mean(one), mean(other), 0, ratio=True)
    assert (-found.value, -found.high, -found.low) == pytest.approx([each / 100 for each in accuracy_drop(other, one)])
    same = metric_intervals.of_difference(mean(one), mean(one), 0, ratio=True)
    assert same.low < same.value == 0 < same.high, "that no row of 300 differs does not prove that none ever does"


@pytest.mark.parametrize(("rows", "t"), [(5, 2.776445), (10, 2.262157), (100, 1.984217)])
def test_a_mean_has_students_interval(rows, t):
    errors = np.random.default_rng(1).normal(size=(rows, 2))
    found = metric_intervals.of_value(regression.mean_absolute_error(np.zeros((rows, 2)), errors), 0, ratio=False)
    of_rows = np.abs(errors).mean(1)
    half = t * of_rows.std(ddof=1) / math.sqrt(rows)
    assert (found.low, found.high) == pytest.approx((of_rows.mean() - half, of_rows.mean() + half), rel=1e-2 / rows)
    assert found.method == "Student's t over the rows"


def test_errors_that_happen_to_be_0_are_no_shares():
    exact = regression.mean_absolute_error(np.zeros((9, 1)), np.zeros((9, 1)))
    assert metric_intervals.of_value(exact, 0, ratio=False)[:3] == (0, 0, 0)
    assert metric_intervals.of_difference(exact, exact, 0, ratio=False)[:3] == (0, 0, 0)


def test_four_rows_are_too_few():
    few = regression.mean_absolute_error(np.zeros((4, 1)), np.ones((4, 1)))
    assert math.isnan(metric_intervals.of_value(few, 0, ratio=False).low)


@pytest.mark.parametrize("scored", ["auroc", "average_precision"])
def test_what_is_between_0_and_1_stays_there(scored):
    true = np.arange(60) < 20
    scores = np.random.default_rng(3).normal(size=60) + 3 * true
    found = metric_intervals.of_value(getattr(ranking, scored)(true, scores), 0, ratio=True)
    assert 0 < found.low < found.value < found.high < 1
    assert found.value - found.low > found.high - found.value
    assert found.method == "bootstrap on logits, 1,000 draws, seed 0"


def test_all_others_are_drawn_again():
    detections = mean_average_precision(*drawn(1))
    assert metric_intervals.of_value(detections, 5, ratio=True).method == "basic bootstrap, 1,000 draws, seed 5"
    targets = np.random.default_rng(4).normal(size=(40, 2))
    roots = [regression.root_mean_square_error(targets, targets * k) for k in (1.1, 1.2)]
    assert metric_intervals.of_value(roots[0], 0, ratio=False).method.startswith("basic bootstrap")
    assert metric_intervals.of_difference(*roots, 0, ratio=False).method == "paired bootstrap, 1,000 draws, seed 0"
    maps = np.random.default_rng(5).integers(0, 3, (2, 40, 6, 6))
    maps[0, :20, :3] = 255
    assert "bootstrap" in metric_intervals.of_value(segmentation.pixel_accuracy(*maps), 0, ratio=True).method


def test_what_could_have_been_detected_is_found_in_95_of_100_sets():
    """Differences of rows of a known spread: the smallest difference that the interval shows, whole on one side of 0."""
    random, rows, found = np.random.default_rng(6), 50, 0
    true = MetricInterval(0, *(sign * 1.959964 / math.sqrt(rows) for sign in (-1, 1)), "").detectable
    zeros = np.zeros((rows, 1))
    for _ in range(1000):
        of_rows = 5 + random.normal(true, 1, (rows, 1))
        one, other = (regression.mean_absolute_error(zeros, each) for each in (of_rows, zeros + 5))
        found += metric_intervals.of_difference(one, other, 0, ratio=False).low > 0
    assert 0.92 <= found / 1000 <= 0.97


@pytest.mark.parametrize(
    ("rows", "bound", "outcome"), [(60, 0.01, "INCONCLUSIVE"), (60, 0.9, "REGRESSED"), (500, 0.01, "PASS")]
)
def test_few_rows_do_not_prove_that_a_mean_average_precision_is_high_enough(rows, bound, outcome):
    value = metric_intervals.of_value(mean_average_precision(*drawn(1, rows=rows)), 0, ratio=True, draws=50)
    assert value.reads_high == (rows < 400)
    one = measurement()
    case = Case(
        candidate=one, baseline=None, value={"": value}, measured=Measured(measurements=(one,)), limits=LimitsTable()
    )
    (verdict,) = by_value.judge(case, FLOOR, bound, higher_is_better=True)
    assert verdict.outcome == outcome
    assert ("reads high" in verdict.why) == (outcome == "INCONCLUSIVE")
    assert verdict.limit == bound
    assert verdict.low < verdict.change < verdict.high


def test_too_few_rows_for_an_interval_decide_nothing():
    errors = regression.mean_absolute_error(np.zeros((4, 1)), np.arange(4.0)[:, None])
    one = measurement()
    value = metric_intervals.of_value(errors, 0, ratio=False)
    case = Case(
        candidate=one, baseline=None, value={"": value}, measured=Measured(measurements=(one,)), limits=LimitsTable()
    )
    (verdict,) = by_value.judge(case, CEILING, 100.0, higher_is_better=False)
    assert (verdict.outcome, verdict.low, verdict.high, verdict.change) == ("INCONCLUSIVE", None, None, 1.5)
    assert verdict.why == "there is no interval of fewer than 5 rows: give more evaluation rows"
