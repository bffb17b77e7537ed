"""Stage 6, compare: the verdicts."""

from enum import StrEnum

from pipeline.records.base import Record
from pipeline.records.subject import Subject


class Outcome(StrEnum):
    """What became of one limit, and of the whole run (its worst limit)."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    REGRESSED = "REGRESSED"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"

    @property
    def exit_code(self) -> int:
        return {"PASS": 0, "REGRESSED": 1, "INCONCLUSIVE": 3, "INVALID": 6}[self]


class Verdict(Record, frozen=True, kw_only=True):
    """One limit of the plan, judged for one measured file. `low` and `high`: the interval of `change`, of 95 %; by pairs and
    of memory of 98 %, and the verdict can be read off it.
    """

    subject: Subject
    metric: str  # one of pipeline.metrics
    unit: str
    baseline_subject: Subject | None = None
    baseline: float | None = None
    candidate: float | None = None  # None here and below: INVALID, there is no number
    change: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float
    outcome: Outcome
    why: str
    detectable: float | None = None  # the smallest change that this number of pairs calls REGRESSED 95 % of the time
    pairs: int | None = None
    seconds: float | None = None  # that the board spent on it
    margin: float | None = (
        None  # by pairs: a proven change above it is REGRESSED; the limit unless the plan has a smaller one
    )
    percent: int | None = None  # of latency_tail: which quantile
    task: str = ""  # whose metric it is, of several tasks


class MetricDrop(Record, frozen=True):
    """How much worse the metric of a task is on the same rows, and the ends of its interval at 95 %."""

    drop: tuple[float, float, float]
    method: str  # how the interval was made, in words
    detectable: float  # the smallest true drop that these rows would show to be one, with a probability of 95 %
    task: str = ""  # its name, as Task has it


class Comparison(Record, frozen=True):
    """One measured file against its baseline in the same runtime: candidate / baseline.

    By pairs where there are any: pipeline/statistics/paired_test.py. Else `latency_ratio` is the median over rounds of the ratio of the two launches' 10th percentiles, which contention moves
    least; `latency_low` to `latency_high` is its distribution-free interval at 95 % or more, from 6 rounds on.
    """

    subject: Subject
    baseline_subject: Subject
    size_ratio: float
    latency_ratio: float
    latency_low: float
    latency_high: float
    accuracy_drop_points: float | None
    trusted: bool
    pairs: int | None = None
    metric_drops: tuple[MetricDrop, ...] = ()  # of each task whose metric has an interval


class MetricLevel(Record, frozen=True):
    """The metric of a task of one measured file, on the rows that the board answered, and its interval at 95 %; None: too few rows for one."""

    subject: Subject
    value: float
    low: float | None
    high: float | None
    method: str  # how the interval was made, in words
    reads_high: bool = False  # mAP of few rows
    task: str = ""  # its name, as Task has it


class Compared(Record, frozen=True):
    verdicts: tuple[Verdict, ...]
    comparisons: tuple[Comparison, ...]
    outcome: Outcome
    steps: tuple[Comparison, ...] = ()  # each pass's model against the one before it, in the same format and runtime
    notes: tuple[str, ...] = ()  # what kind of file the plan's baseline is
    levels: tuple[MetricLevel, ...] = ()  # of each measured file, of each task
