"""A file that is judged, and what it is judged by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.compare.by_interval import Interval
from pipeline.compare.metric_intervals import MetricInterval
from pipeline.plan_tables import LimitsTable
from pipeline.records import EnergyPaired, Measured, Measurement, NotMeasured, Paired


class QualityDrop(NamedTuple):
    """By how much the metric of a task is worse than the baseline's on the same rows, with its interval."""

    drop: Interval
    baseline: float
    candidate: float
    method: str
    detectable: float
    unknown: str = ""  # why its interval is not known, and then its ends are NaN


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`baseline` None: nothing to compare with was measured in this runtime. `drop`: points of accuracy that the candidate lost
    against it, None where that is not known; `tasks`: the names of the tasks that have labels; `quality`: how much worse the metric of a task is,
    and `value`: that metric, of those of which it is known.
    """

    candidate: Measurement
    baseline: Measurement | None
    drop: Interval | None = None
    tasks: tuple[str, ...] = ("",)
    quality: Mapping[str, QualityDrop] = field(default_factory=dict)
    value: Mapping[str, MetricInterval] = field(default_factory=dict)
    measured: Measured
    limits: LimitsTable

    @property
    def paired(self) -> Paired | None:
        """The candidate's pairs with its baseline; None where none were run."""
        return next((each for each in self.measured.paired if each.subject == self.candidate.subject), None)

    @property
    def energy_paired(self) -> EnergyPaired | None:
        """Its pairs under a power meter; None where none were run."""
        return next((each for each in self.measured.energy_paired if each.subject == self.candidate.subject), None)

    @property
    def unpaired(self) -> NotMeasured | None:
        """Why its pairs could not be run; None where nothing was in the way."""
        return next((each for each in self.measured.unpaired if each.subject == self.candidate.subject), None)
