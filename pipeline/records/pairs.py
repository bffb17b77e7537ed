"""Stage 5, measure: a candidate and its baseline in pairs."""

from pipeline.records.artifact import Artifact
from pipeline.records.base import Record
from pipeline.records.doubt import Doubt
from pipeline.records.energy import PowerCurve
from pipeline.records.subject import Subject


class Quantile(Record, frozen=True):
    """`low_s` to `high_s`: its distribution-free 95 % interval over the inferences, which takes each for an independent one."""

    percent: int
    value_s: float
    low_s: float | None  # None: too few runs
    high_s: float | None


class Side(Record, frozen=True):
    """One file over all of its blocks."""

    runs: int
    mean_s: float
    throughput_per_s: float  # inferences, one after the other: 1 / mean
    quantiles: tuple[Quantile, ...]  # 50, 90, 95 and 99 per cent
    pair_p10_s: tuple[float, ...]  # of each pair

    def quantile(self, percent: float) -> float | None:
        return next((each.value_s for each in self.quantiles if each.percent == percent), None)


class TailRatios(Record, frozen=True):
    percent: int
    log_ratios: tuple[float, ...]  # of this quantile, candidate / baseline, one a pair


class BoardSample(Record, frozen=True):
    """The state of the board just after one block. None: it does not report it."""

    t_s: float  # since the first block
    end_s: float
    pair: int
    side: str  # A, the baseline, or B
    cpu_khz: int | None
    temperature_c: float | None


class Paired(Record, frozen=True):
    """A candidate and its baseline, interleaved on the board: what the verdict on latency rests on."""

    subject: Subject
    baseline_subject: Subject
    margin: float  # by these it was decided when enough was measured
    limit: float
    log_ratios: tuple[float, ...]  # candidate / baseline, one a pair, in their order: pipeline/measure/pairs/ratio.py
    tails: tuple[TailRatios, ...]
    baseline: Side
    candidate: Side
    seconds: float
    board_samples: tuple[BoardSample, ...]
    doubts: tuple[Doubt, ...]
    raw: Artifact  # every pair as the agent sent it, JSON lines, gzip


class EnergyPaired(Record, frozen=True):
    """A candidate and its baseline, interleaved under one power meter: what the verdict on energy rests on, or in `doubts`
    why there is none.
    """

    subject: Subject
    baseline_subject: Subject
    margin: float
    limit: float
    meter: str = ""  # "": none
    quality: str = ""  # measured, coarse
    log_ratios: tuple[float, ...] = ()  # candidate / baseline, net joules of one inference, one a pair
    baseline_j: float | None = None  # the median of the pairs
    candidate_j: float | None = None
    seconds: float = 0.0
    doubts: tuple[Doubt, ...] = ()
    raw: Artifact | None = None  # every pair as the agent sent it, JSON lines, gzip; None: nothing was run
    curve: PowerCurve | None = None  # of the first pair; where a pair's trace cannot be trusted, of that one
