"""Raw nanoseconds -> a latency with its interval. The launch (a fresh process) is the unit that repeats, not the inference.

Within a process thousands of inferences share one memory layout and one moment of the machine's day, so an interval over
inferences would be far too narrow: sequential t tests on iterations flag 27 % of identical pairs as slower (measured, A/A).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.records import Latency, Quantile
from pipeline.statistics.order import median_interval, quantile_interval

P99_RUNS = 662  # MLPerf LoadGen's early stopping floor for p99 at 99 % confidence
HISTOGRAM_BINS = 40
PERCENTS = (50, 90, 95, 99)


def quantiles_of(runs_s: npt.NDArray[Any]) -> tuple[Quantile, ...]:
    """p50, p90, p95 and p99 of times in seconds, each with its distribution-free interval."""
    ordered = np.sort(runs_s)
    found = []
    for percent in PERCENTS:
        low, high = quantile_interval(ordered, percent / 100) or (None, None)
        found.append(Quantile(percent=percent, value_s=float(np.percentile(ordered, percent)), low_s=low, high_s=high))
    return tuple(found)


def summarise(launches_ns: Sequence[Sequence[int]]) -> Latency:
    """Summary of the timed runs of several launches, in seconds. Every launch must hold at least one run."""
    launches = [np.asarray(launch, dtype=np.float64) / 1e9 for launch in launches_ns]
    runs = np.concatenate(launches)
    medians = np.array([np.median(launch) for launch in launches])
    low, high = median_interval(medians)
    # The highest 1 % would stretch the picture to where almost nothing is; it is counted in the last bin.
    top = max(float(np.percentile(runs, 99)), float(runs.min()) * 1.000001)
    counts, edges = np.histogram(np.minimum(runs, top), bins=HISTOGRAM_BINS, range=(float(runs.min()), top))
    return Latency(
        launches=len(launches),
        runs=len(runs),
        median_s=float(np.median(medians)),
        low_s=low,
        high_s=high,
        p10_s=float(np.percentile(runs, 10)),
        p90_s=float(np.percentile(runs, 90)),
        p99_s=float(np.percentile(runs, 99)) if len(runs) >= P99_RUNS else None,
        min_s=float(runs.min()),
        launch_medians_s=tuple(medians.tolist()),
        launch_p10_s=tuple(float(np.percentile(launch, 10)) for launch in launches),
        histogram_edges_s=tuple(edges.tolist()),
        histogram_counts=tuple(counts.tolist()),
    )
