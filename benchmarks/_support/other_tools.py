"""The rules by which other tools decide that something became slower, applied to the traces of a trial.

They measure the baseline first and then the candidate. So each rule gets the pairs of a trial and a slowdown, and takes side A of the first
half of the pairs and side B of the second half: what it would have measured in the same wall time. Sources: pyperf (Welch's t), google/benchmark's compare.py (Mann-Whitney, 5 %;
here 1 % like the others), criterion.rs src/report.rs (interval of the change above a noise threshold of 1 %), the usual 10 % rule of CI.
"""

import math
import random
import statistics
from collections.abc import Callable, Sequence

import numpy as np

SAMPLES = 120
ALPHA = 0.01
NORMAL = statistics.NormalDist()


def reduced(latency_ns: Sequence[int]) -> dict:
    """Return what the rules need of one process: a random sample of its times, and its median."""
    times = np.asarray(latency_ns)
    drawn = np.random.default_rng(len(times)).choice(times, SAMPLES)
    return {"median": float(np.median(times)), "sample": drawn.tolist()}


def _halves(pairs: list[dict], share: float) -> tuple[np.ndarray, np.ndarray]:
    half = len(pairs) // 2
    a = np.array([time for pair in pairs[:half] for time in pair["a"]["sample"]], float)
    b = np.array([time for pair in pairs[half:] for time in pair["b"]["sample"]], float)
    return a, b * (1 + share)


def welch(pairs: list[dict], share: float, _: random.Random) -> bool:
    a, b = _halves(pairs, share)
    error = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return 1 - NORMAL.cdf((b.mean() - a.mean()) / error) < ALPHA  # hundreds of values: t is the normal


def mann_whitney(pairs: list[dict], share: float, _: random.Random) -> bool:
    a, b = _halves(pairs, share)
    ordered = np.sort(np.concatenate((a, b)))
    ranks = (
        np.searchsorted(ordered, b, "left") + np.searchsorted(ordered, b, "right") + 1
    ) / 2  # the mean rank of ties
    above = ranks.sum() - len(b) * (len(b) + 1) / 2
    n, m = len(a), len(b)
    return 1 - NORMAL.cdf((above - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)) < ALPHA


def criterion(pairs: list[dict], share: float, shuffle: random.Random) -> bool:
    """Return whether the bootstrap interval (95 %) of the change of the mean lies wholly above 1 %."""
    a, b = _halves(pairs, share)
    draw = np.random.default_rng(shuffle.randrange(2**32))
    changes = [draw.choice(b, len(b)).mean() / draw.choice(a, len(a)).mean() - 1 for _ in range(400)]
    return float(np.quantile(changes, 0.025)) > 0.01


def ten_percent(pairs: list[dict], share: float, _: random.Random) -> bool:
    a, b = _halves(pairs, share)
    return bool(b.mean() > 1.1 * a.mean())


RULES: dict[str, Callable[[list[dict], float, random.Random], bool]] = {
    "Welch's t on inferences, 1 %": welch,
    "Mann-Whitney on inferences, 1 %": mann_whitney,
    "criterion-like: 95 % interval of the mean above 1 %": criterion,
    "mean more than 10 % higher": ten_percent,
}
