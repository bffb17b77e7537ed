"""The metrics that limits judge: the doubts that touch each, and how its numbers become text.

Compare makes a Verdict of a metric and report shows it. Neither imports the other, so what both know of a metric stands here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline import units

Text = Callable[[float | None], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Levels are as in the records (ratio, seconds, joules, bytes); changes and limits are in the metric's own unit: points; a ratio
    less 1; bytes.
    """

    touches: str  # `Doubt.touches` of the doubts about it
    level: Text  # of the baseline and of the candidate
    change: Text
    limit: Text
    by_test: bool = False  # a test made the interval of the change, also where no pairs were run


SIZE, ACCURACY = "size_bytes", "accuracy_drop_points"
LATENCY, TAIL, ENERGY = "latency_regression", "latency_tail", "energy_regression"
GROWTH, PEAK = "memory_growth_bytes", "memory_peak_bytes"


def _exact(_: float | None) -> str:
    """A size is exact and its limit absolute: the change decides nothing."""
    return units.UNKNOWN


METRICS = {
    SIZE: Metric(touches="size", level=units.size, change=_exact, limit=units.size),
    ACCURACY: Metric(touches="accuracy", level=units.percent, change=units.points, limit=units.points),
    LATENCY: Metric(touches="latency", level=units.seconds, change=units.percent_change, limit=units.percent_change),
    TAIL: Metric(touches="latency", level=units.seconds, change=units.percent_change, limit=units.percent_change),
    ENERGY: Metric(touches="energy", level=units.energy, change=units.percent_change, limit=units.percent_change),
    GROWTH: Metric(touches="memory", level=units.size, change=units.size_change, limit=units.size_change, by_test=True),
    PEAK: Metric(touches="memory", level=units.size, change=units.size_change, limit=units.size_change, by_test=True),
}
"""Name of a metric, as a Verdict has it -> what is known of it."""
