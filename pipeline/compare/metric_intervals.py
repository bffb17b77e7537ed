"""The interval of a task's metric at 95 %, and of its difference between two files on the same rows, by the method that suits the metric.

A share of rows: Wilson's interval (Wilson, JASA 22, 1927), and of a difference Agresti and Min's for matched pairs. A mean over rows of any
other number: Student's t over the rows. Everything else: the rows are drawn again (pipeline/quality/bootstrap.py).
benchmarks/verdicts/metric_intervals.py counts how often each of them holds the truth.
"""

import math
from typing import NamedTuple

import numpy as np

from pipeline.compare.by_interval import Z95, accuracy_drop
from pipeline.quality import bootstrap
from pipeline.quality.detection import Detections
from pipeline.quality.statistic import Floats, Quotient, Statistic, plain

LEAST_ROWS = 5  # of Student's t: the expansion below is within 1 % from here on
READS_RIGHT = 400
"""Rows, from which on mAP reads no higher than it is: five classes gave 0.264 at 100 rows, 0.253 at 400, and the truth was 0.246."""
Z_POWER = 1.644854  # standard normal, one-sided 95 %


class MetricInterval(NamedTuple):
    """`method`: how the interval was made, in words. `unknown`: why there is none, and then its ends are NaN."""

    value: float
    low: float
    high: float
    method: str
    unknown: str = ""
    reads_high: bool = False  # mAP of few rows: its interval, too, lies too high in one of ten sets of 100 rows

    @property
    def detectable(self) -> float:
        """The smallest true difference that this number of rows would show, whole interval on one side of 0, 95 % of the time.

        Half the interval is Z95 standard errors, and a difference is found with 95 % where it is Z_POWER more of them away from 0.
        """
        return (self.high - self.low) / 2 * (Z95 + Z_POWER) / Z95


def of_value(statistic: Statistic, seed: int, *, ratio: bool, draws: int = bootstrap.DRAWS) -> MetricInterval:
    """Return the metric of one file. `ratio`: it lies from 0 to 1. mAP of few rows reads high: turning around its value corrects that."""
    if ratio and _is_share(statistic):
        return MetricInterval(plain(statistic), *_wilson(_of_rows(statistic)), "Wilson")
    if _is_mean(statistic):
        return _student(_of_rows(statistic))
    if bootstrap.unknown(statistic):
        return _none(plain(statistic), bootstrap.unknown(statistic))
    draws = bootstrap.draws_of(statistic, draws)
    shares = bootstrap.of_share(statistic, seed, draws) if ratio and not isinstance(statistic, Detections) else None
    if shares is not None:
        return MetricInterval(*shares, f"bootstrap on logits, {draws:,} draws, seed {seed}")
    found = bootstrap.of_value(statistic, seed, draws)
    few = isinstance(statistic, Detections) and statistic.rows < READS_RIGHT
    return MetricInterval(*found, f"basic bootstrap, {draws:,} draws, seed {seed}", reads_high=few)


def of_difference(
    candidate: Statistic, baseline: Statistic, seed: int, *, ratio: bool, draws: int = bootstrap.DRAWS
) -> MetricInterval:
    """Return candidate - baseline, of a metric from 0 to 1 if `ratio`. Both hold the same rows in the same order, else ValueError."""
    if candidate.rows == baseline.rows:
        if ratio and _is_share(candidate) and _is_share(baseline):
            lost, low, high = (
                each / 100 for each in accuracy_drop(*(_of_rows(one) > 0 for one in (baseline, candidate)))
            )
            return MetricInterval(-lost, -high, -low, "Agresti and Min")
        if _is_mean(candidate) and _is_mean(baseline):
            return _student(_of_rows(candidate) - _of_rows(baseline))
    if bootstrap.unknown(candidate, baseline):
        return _none(plain(candidate) - plain(baseline), bootstrap.unknown(candidate, baseline))
    draws = bootstrap.draws_of(candidate, draws)
    found = bootstrap.of_difference(candidate, baseline, seed, draws)
    return MetricInterval(*found, f"paired bootstrap, {draws:,} draws, seed {seed}")


def _is_mean(statistic: Statistic) -> bool:
    """Whether it is a mean in which each row counts as much as any other: not of a root, nor where rows have other numbers of pixels."""
    if type(statistic) is not Quotient or not statistic.rows:
        return False
    return bool(statistic.wholes[0] > 0 and (statistic.wholes == statistic.wholes[0]).all())


def _is_share(statistic: Statistic) -> bool:
    return _is_mean(statistic) and bool(np.isin(_of_rows(statistic), (0.0, 1.0)).all())


def _of_rows(statistic: Statistic) -> Floats:
    assert isinstance(statistic, Quotient)  # see _is_mean
    return statistic.parts / statistic.wholes


def _wilson(right: Floats) -> tuple[float, float]:
    rows, share, square = len(right), float(right.mean()), Z95**2
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = Z95 * math.sqrt(share * (1 - share) / rows + square / (4 * rows**2)) / (1 + square / rows)
    return max(0.0, middle - half), min(1.0, middle + half)


def _student(of_rows: Floats) -> MetricInterval:
    rows, value = len(of_rows), float(of_rows.mean())
    if rows < LEAST_ROWS:
        return _none(value, f"there is no interval of fewer than {LEAST_ROWS} rows: give more evaluation rows")
    half = _t95(rows - 1) * float(of_rows.std(ddof=1)) / math.sqrt(rows)
    return MetricInterval(value, value - half, value + half, "Student's t over the rows")


def _none(value: float, why: str) -> MetricInterval:
    return MetricInterval(value, math.nan, math.nan, why, why)


def _t95(freedom: int) -> float:
    """Return the 97.5th percentile of Student's t.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    z, v = Z95, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )
