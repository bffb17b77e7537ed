"""How much a candidate changed against its baseline: (change, low, high), with 95 % intervals."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.order_statistics import median_interval
from pipeline.records import Latency

Z95 = 1.959964  # standard normal, two-sided 95 %

Interval = tuple[float, float, float]


def latency_ratio(candidate: Latency, baseline: Latency) -> Interval:
    """Candidate / baseline: the median over rounds of the ratio of the two launches' 10th percentiles, and its interval.

    Within a round both met the same hour of the machine, so its drift cancels (correlation of the levels inside a pair
    0.95 in the A/A traces). The 10th percentile is what contention moves least: sd of the log ratio 0.5 to 1.5 % where
    that of the mean is 12 to 14 %. It reads about one point less than the median; both are in the record.
    """
    rounds = min(len(candidate.launch_p10_s), len(baseline.launch_p10_s))
    ratios = np.array(candidate.launch_p10_s[:rounds]) / np.array(baseline.launch_p10_s[:rounds])
    low, high = median_interval(ratios)
    return float(np.median(ratios)), low, high


def accuracy_drop(baseline_right: npt.NDArray[Any], candidate_right: npt.NDArray[Any]) -> Interval:
    """Points of accuracy lost (100 = all), from which of the same rows each answered rightly.

    Source: Agresti and Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in
    Medicine 24 (2005): Wald's interval after adding 0.5 to each of the four cells.
    """
    lost = int(np.count_nonzero(baseline_right & ~candidate_right))
    won = int(np.count_nonzero(~baseline_right & candidate_right))
    n = len(baseline_right)
    b, c, total = lost + 0.5, won + 0.5, n + 2
    middle, error = (b - c) / total, math.sqrt(b + c - (b - c) ** 2 / total) / total
    return 100 * (lost - won) / n, 100 * (middle - Z95 * error), 100 * (middle + Z95 * error)
