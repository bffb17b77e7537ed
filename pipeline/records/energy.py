"""Stage 5, measure: joules, and where they come from."""

import math

from pipeline.records.artifact import Artifact
from pipeline.records.base import Record


class EnergyParts(Record, frozen=True):
    """Half-widths of 95 % intervals, in joules of one inference. A data sheet's limit is taken as one."""

    gain_j: float | None  # of the meter; None: no source says how exact it is, and the whole is at least the rest
    sampling_j: float  # of what happened between two readings
    sync_j: float  # of the meter's clock against the board's
    idle_j: float  # of the idle power that is subtracted

    @property
    def total_j(self) -> float:
        return math.hypot(self.gain_j or 0.0, self.sampling_j, self.sync_j, self.idle_j)


class PowerSpan(Record, frozen=True):
    what: str  # idle or window; of a pair: idle, A or B
    start_s: float
    end_s: float


class PowerCurve(Record, frozen=True):
    """What a meter reported over time, for the eye: means over equal steps, so that each keeps its energy. 0 s is the start of the
    window, or of the first block.
    """

    start_s: float
    step_s: float
    watts: tuple[float | None, ...]  # one a step; None: nothing was read for too long
    spans: tuple[PowerSpan, ...]  # in their order


class EnergyReading(Record, frozen=True):
    """What one meter says of one file. Joules are of one inference; None: `invalid` says why."""

    meter: str
    rail: str  # what it measures
    quality: str  # measured, coarse
    inferences: int
    readings: int
    failed: int  # readings that failed, over all of the launch
    window_s: float | None = None
    expected: int | None = None  # readings in the window
    dropped: int | None = None  # of those, missing
    gross_j: float | None = None  # everything
    net_j: float | None = None  # less what the board uses when it waits
    gross: EnergyParts | None = None
    net: EnergyParts | None = None
    idle_before_w: float | None = None
    idle_after_w: float | None = None
    edge_s: float | None = None  # by how much the time of a reading is not known
    invalid: str = ""
    curve: PowerCurve | None = None  # also where it is invalid; None: there is no trace, or its clock is not known


class Energy(Record, frozen=True):
    """One reading for each meter that watched; none: nothing measured it, and `note` says why. Never a guess."""

    readings: tuple[EnergyReading, ...]
    note: str
    # the launch for the meters as the agent sent it, then the traces of this machine, JSON lines
    raw: Artifact | None = None

    @property
    def best(self) -> EnergyReading | None:
        """The one for a table: with a number, measured rather than coarse, in the order of the plan."""
        valid = [one for one in self.readings if one.net_j is not None]
        return min(valid, key=lambda one: one.quality != "measured", default=None)
