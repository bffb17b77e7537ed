"""The numbers that verdicts rest on, against simulation and independent formulas."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.compare.by_interval import accuracy_drop, latency_ratio
from pipeline.measure.summary import summarise
from pipeline.statistics import order
from pipeline.statistics.order import COVERAGE, ENOUGH, covers, median_interval

nanoseconds = st.lists(st.integers(1_000, 10**9), min_size=1, max_size=50)


def test_enough_is_the_first_number_whose_range_covers():
    assert covers(ENOUGH, 0) >= COVERAGE > covers(ENOUGH - 1, 0)


@pytest.mark.parametrize("n", [6, 9, 20, 41])
def test_the_interval_covers_the_median_as_often_as_it_says(n):
    """Monte Carlo over a skewed distribution with a known median, not the formula again."""
    random = np.random.default_rng(n)
    draws = random.exponential(size=(4000, n))
    hits = sum(low <= math.log(2) <= high for low, high in map(median_interval, draws))
    assert hits / 4000 >= 0.94
    if n >= 20:
        assert hits / 4000 <= 0.985  # and is no wider than it must be


@given(st.lists(nanoseconds, min_size=1, max_size=12))
def test_a_summary_is_ordered_and_counts_every_run(launches):
    found = summarise(launches)
    assert found.min_s <= found.p10_s <= found.p90_s
    assert found.low_s <= found.median_s <= found.high_s
    assert found.runs == sum(map(len, launches)) == sum(found.histogram_counts)
    assert found.launches == len(launches) == len(found.launch_medians_s) == len(found.launch_p10_s)
    assert (found.p99_s is None) == (found.runs < 662)


def launches_of(level_ns, launches=6, runs=200, seed=0, noise=0.02):
    """Launches around a level, each at a speed of its own, as machines have them."""
    random = np.random.default_rng(seed)
    drift = 1 + 0.1 * random.random(launches)
    return [(level_ns * slow * (1 + noise * random.random(runs))).astype(int).tolist() for slow in drift]


def test_drift_that_both_meet_cancels_in_the_ratio():
    base = summarise(launches_of(100_000))
    slower = summarise(launches_of(103_000))
    ratio, low, high = latency_ratio(slower, base)
    assert ratio == pytest.approx(1.03, abs=0.002)
    assert 1.02 < low <= high < 1.04
    assert base.high_s / base.low_s > 1.05  # the levels themselves are far less certain


@settings(max_examples=50)
@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 2000))
def test_points_lost(lost, won, same):
    before = np.array([True] * lost + [False] * won + [True] * same)
    after = np.array([False] * lost + [True] * won + [True] * same)
    drop, low, high = accuracy_drop(before, after)
    assert drop == pytest.approx(100 * (before.mean() - after.mean()))
    assert low < high
    mirrored = accuracy_drop(after, before)
    assert mirrored[1] == pytest.approx(-high)


def test_points_lost_covers_as_often_as_it_says():
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(1500):
        before = random.random(400) < 0.9
        flips = random.random(400) < np.where(before, 0.05, 0.25)
        after = before ^ flips
        _, low, high = accuracy_drop(before, after)
        hits += low <= 100 * (0.9 * 0.05 - 0.1 * 0.25) <= high
    assert 0.93 <= hits / 1500 <= 0.98


@pytest.mark.parametrize(("n", "share"), [(1000, 0.5), (5000, 0.9), (20_000, 0.95), (50_000, 0.99)])
def test_the_approximation_of_the_ranks_is_within_one_of_the_exact_ones(n, share):
    """The exact binomial is the judge: 2.5 % lie beyond each end."""
    below, above = order._ranks(n, share)
    logs = [order._log_choices(n, k) + k * math.log(share) + (n - k) * math.log1p(-share) for k in range(n + 1)]
    under = np.cumsum(np.exp(logs))  # of k: at most k values lie under it
    exact_below = int(np.searchsorted(under, 0.025, side="right"))
    exact_above = int(np.searchsorted(under, 0.975)) + 1
    assert abs(below - exact_below) <= 1
    assert abs(above - exact_above) <= 1
