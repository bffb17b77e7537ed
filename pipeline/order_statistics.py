"""The interval of a median without any assumption about the distribution (the sign test turned around)."""

import math
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
