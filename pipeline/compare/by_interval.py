"""How much a candidate changed against its baseline: (change, low, high), with 95 % intervals (memory: 98 %); and a limit that is
judged by such an interval -> a Verdict.

PASS when the whole interval keeps the limit, REGRESSED when the whole interval breaks it, INCONCLUSIVE when it lies on both sides or
where nothing can be judged by it (an emulator's times), INVALID without a valid number. A proven change for the
worse is named even where the limit allows it.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.compare.reasons import not_measured, within
from pipeline.metrics import METRICS
from pipeline.records import Latency, Measurement, Outcome, Verdict
from pipeline.statistics.order import median_interval

Z95 = 1.959964  # standard normal, two-sided 95 %
LAUNCHES = 5  # a side, from which on the order of all can be as unlikely as ALPHA: 1 / C(10, 5) = 0.4 %
ALPHA = 0.01  # of each end of the interval of `shift`
MOST = (
    50  # launches of a side that are looked at: more would change nothing that matters, and the exact count takes long
)

Interval = tuple[float, float, float]

KEEPS, BREAKS = "keeps the limit", "breaks the limit"
NO_INTERVAL = "these are too few rows for an interval: give more evaluation rows"
UNCLEAR = "cannot be told apart from the limit: more launches or more rows would decide it"


def latency_ratio(candidate: Latency, baseline: Latency) -> Interval:
    """Candidate / baseline: the median over rounds of the ratio of the two launches' 10th percentiles, and its interval.

    Within a round both ran under the same machine conditions, so drift cancels (correlation of the levels inside a pair
    0.95 in the A/A traces). The 10th percentile is what contention affects least: sd of the log ratio 0.5 to 1.5 % where
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


def shift(candidate: Sequence[int], baseline: Sequence[int]) -> Interval:
    """By how much the candidate's launches lie above the baseline's: the median of all differences, and the interval that the exact
    rank-sum test gives, and each end is wrong with a probability of at most ALPHA. LAUNCHES or more a side.

    With 5 launches a side an end is the second smallest (largest) of 25 differences: a wrong end has probability 2/252 = 0.8 %;
    with 6 it is the fourth of 36, 7/924 = 0.8 %. So a limit is found broken, though it is kept, at most once in 100 times, whatever
    the distribution. A signed test of pairs of the same round could not say that: 6 pairs reach 1/64 = 1.6 %. What both sides of a
    round have in common only makes this test slower to decide (positive correlation).

    Source: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd edition, sections 4.1 to 4.3.
    """
    one, other = np.asarray(candidate[:MOST], np.float64), np.asarray(baseline[:MOST], np.float64)
    differences = np.sort((one[:, None] - other[None, :]).ravel())
    cut = _cut(len(one), len(other))
    return float(np.median(differences)), float(differences[cut]), float(differences[-1 - cut])


def _cut(n: int, m: int) -> int:
    """How many differences may be left out at each end: the largest c with P(U <= c) <= ALPHA, where U counts how often one of n values
    lies above one of m when all orders are equally likely.
    """
    ways = np.zeros(n * m + 1)  # how many orders have this U: the Gaussian binomial coefficient (n + m over n)
    ways[0] = 1
    for k in range(1, n + 1):
        ways[m + k :] -= ways[: len(ways) - m - k].copy()  # times 1 - q^(m + k)
        for u in range(k, len(ways)):  # divided by 1 - q^k
            ways[u] += ways[u - k]
    reached = np.cumsum(ways) / math.comb(n + m, n)
    return int(np.count_nonzero(reached <= ALPHA)) - 1


def by_interval(
    candidate: Measurement,
    baseline: Measurement | None,
    metric: str,
    values: tuple[float | None, float | None],
    change: Interval,
    limit: float,
    undecided: str = "",
    worse: str = "more",
) -> Verdict:
    """By the interval; a doubt of either side that touches this metric is named, and an invalid one ends it. `undecided`: why
    nothing is judged by it. `worse`: what a change above 0 is, in a word; "": it is a level, and not a change.
    """
    known = METRICS[metric]
    doubts = [
        doubt for each in (candidate, baseline) if each for doubt in each.doubts if doubt.touches == known.touches
    ]
    invalid = dict.fromkeys(doubt.evidence for doubt in doubts if doubt.invalid)
    if invalid:
        return not_measured(candidate.subject, metric, limit, f"it was not measured validly: {'; '.join(invalid)}")
    middle, low, high = change
    useless = dict.fromkeys(f"{doubt.evidence}. {doubt.remedy}" for doubt in doubts if doubt.decides_nothing)
    if useless or undecided:
        outcome, why = Outcome.INCONCLUSIVE, " ".join(useless) or undecided
    elif high <= limit:
        outcome, why = Outcome.PASS, within(worse, *map(known.amount, (middle, limit))) if worse and low > 0 else KEEPS
    elif low > limit:
        outcome, why = Outcome.REGRESSED, BREAKS
    else:
        outcome, why = Outcome.INCONCLUSIVE, NO_INTERVAL if math.isnan(low) else UNCLEAR
    named = ", ".join(dict.fromkeys(doubt.what for doubt in doubts))
    return Verdict(
        subject=candidate.subject,
        metric=metric,
        unit=known.unit,
        baseline_subject=baseline.subject if baseline else None,
        baseline=values[0],
        candidate=values[1],
        change=middle,
        low=None if math.isnan(low) else low,
        high=None if math.isnan(high) else high,
        limit=limit,
        outcome=outcome,
        why=f"{why} (doubted: {named})" if named else why,
    )
