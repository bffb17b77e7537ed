"""Intervals without any assumption about the distribution: of a median or another quantile, and of a proportion."""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

COVERAGE = 0.95
ENOUGH = 6  # values from which on the whole range covers the median with 95 %: 1 - 2^(1-6) = 0.969


def median_interval(values: npt.NDArray[Any]) -> tuple[float, float]:
    """The narrowest symmetric pair of ordered values that covers the median with probability >= 95 %.

    With fewer than ENOUGH values no pair does, and the whole range is returned.
    Source: Conover, Practical Nonparametric Statistics, 3rd edition, section 3.2.
    """
    ordered = np.sort(values)
    n, cut = len(ordered), 0
    while cut + 1 < n // 2 and covers(n, cut + 1) >= COVERAGE:
        cut += 1
    return float(ordered[cut]), float(ordered[n - 1 - cut])


def covers(n: int, cut: int) -> float:
    """Probability that the interval from the (cut+1)-th smallest to the (cut+1)-th largest of n holds the median."""
    tail = sum(math.comb(n, k) for k in range(cut + 1)) * 0.5**n
    return max(0.0, 1 - 2 * tail)


def quantile_interval(ordered: npt.NDArray[Any], share: float) -> tuple[float, float] | None:
    """Two of the ordered values between which the quantile lies with 95 % or more. None: too few values for it.

    The number of values below the quantile is binomial (Conover, as above); its normal approximation is used beyond 200 values
    on each side of the quantile, where it is within one rank.
    """
    n = len(ordered)
    below, above = _ranks(n, share)
    if below < 1 or above > n:
        return None
    return float(ordered[below - 1]), float(ordered[above - 1])


def _ranks(n: int, share: float) -> tuple[int, int]:
    """The 1-based ranks: P(fewer than `below` or at least `above` values lie under the quantile) <= 5 %."""
    tail = (1 - COVERAGE) / 2
    if min(share, 1 - share) * n > 200:
        half = NormalDist().inv_cdf(1 - tail) * math.sqrt(n * share * (1 - share))
        return math.floor(n * share - half), math.ceil(n * share + half) + 1
    log_share, log_rest = math.log(share), math.log1p(-share)
    total, below, above = 0.0, 0, n + 1
    for k in range(n + 1):
        total += math.exp(_log_choices(n, k) + k * log_share + (n - k) * log_rest)
        if total <= tail:
            below = k + 1
        if total >= 1 - tail:
            above = k + 1
            break
    return below, above


def _log_choices(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _exactly(hits: int, trials: int, probability: float) -> float:
    """In logarithms: of thousands of trials neither factor is a number that a computer has."""
    logs = hits * math.log(probability) + (trials - hits) * math.log1p(-probability)
    return math.exp(_log_choices(trials, hits) + logs)


def at_most(hits: int, trials: int, probability: float) -> float:
    """The probability of this number of hits or fewer, each of this probability, which is neither 0 nor 1."""
    return math.fsum(_exactly(k, trials, probability) for k in range(hits + 1))


def at_least(hits: int, trials: int, probability: float) -> float:
    return 1 - at_most(hits, trials, probability) + _exactly(hits, trials, probability)


def proportion_interval(hits: int, trials: int) -> tuple[float, float]:
    """The exact 95 % interval of a probability, from this number of hits (Clopper and Pearson, Biometrika 26, 1934)."""
    tail = (1 - COVERAGE) / 2
    low = 0.0 if hits == 0 else _crossing(lambda p: at_least(hits, trials, p) - tail)
    high = 1.0 if hits == trials else _crossing(lambda p: tail - at_most(hits, trials, p))
    return low, high


def _crossing(rising: Callable[[float], float]) -> float:
    """Where a function that rises on (0, 1) is 0."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
