"""The metrics that limits judge: the doubts that touch each, and how its numbers become text.

Compare makes a Verdict of a metric and report shows it. Neither imports the other, so what both know of a metric stands here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pipeline import units

Text = Callable[[float | None], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Levels are as in the records (ratio, seconds, joules, bytes); changes and limits are in the metric's own unit: points; a ratio
    less 1; bytes.
    """

    unit: str  # of the levels; accuracy: of the change
    touches: str  # `Doubt.touches` of the doubts about it
    level: Text  # of the baseline and of the candidate
    change: Text
    amount: Text  # a change without its sign, in a sentence
    limit: Text
    bound: str = "at most"  # what the limit is, in a sentence: "at least" for a floor
    by_test: bool = False  # a test made the interval of the change, also where no pairs were run


SIZE, ACCURACY, QUALITY = "size_bytes", "accuracy_drop_points", "metric_drop"
FLOOR, CEILING = "metric_at_least", "metric_at_most"
LATENCY, TAIL, ENERGY = "latency_regression", "latency_tail", "energy_regression"
GROWTH, PEAK = "memory_growth_bytes", "memory_peak_bytes"


def _exact(_: float | None) -> str:
    """A size is exact and its limit absolute: the change decides nothing."""
    return units.UNKNOWN


_of_ratio = partial(Metric, change=units.percent_change, amount=units.percent, limit=units.percent_change)
# the limit is on the level: its interval is that of the level, not of a change
_of_level = partial(
    Metric,
    unit="",
    touches="accuracy",
    level=units.metric,
    change=units.metric,
    amount=units.metric,
    limit=units.metric,
)
_of_memory = partial(
    Metric, unit="B", touches="memory", level=units.size, change=units.size_change, amount=units.size,
    limit=units.size_change, by_test=True,
)  # fmt: skip

METRICS = {
    SIZE: Metric(unit="B", touches="size", level=units.size, change=_exact, amount=units.size, limit=units.size),
    ACCURACY: Metric(
        unit="points",
        touches="accuracy",
        level=units.percent,
        change=units.points,
        amount=units.in_points,
        limit=units.points,
    ),
    QUALITY: Metric(
        unit="",
        touches="accuracy",
        level=units.metric,
        change=units.metric_change,
        amount=units.metric,
        limit=units.metric_change,
    ),
    FLOOR: _of_level(bound="at least"),
    CEILING: _of_level(),
    LATENCY: _of_ratio(unit="s", touches="latency", level=units.seconds),
    TAIL: _of_ratio(unit="s", touches="latency", level=units.seconds),
    ENERGY: _of_ratio(unit="J", touches="energy", level=units.energy),
    GROWTH: _of_memory(),
    PEAK: _of_memory(),
}
"""Name of a metric, as a Verdict has it -> what is known of it."""
