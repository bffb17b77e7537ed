"""A meter's trace as a curve: energy between two moments, power in idle times, and how exact each is.

Every uncertainty here is the half-width of a 95 % interval.
"""

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from device_agent.wire import PowerTrace

FEWEST = 5  # readings from which a mean has an uncertainty
# Student's t, two-sided 95 %, of that many batches less one
T95 = {5: 2.776, 10: 2.262}
MAX_DROPPED_RATIO = 0.01
# one reading in each period, at a random moment: a gap of 2 is nothing, of 5 a clock or a meter that stood
LONGEST_GAP_PERIODS = 5
MOST_NS = 1 << 62  # 146 years: more is not a time, and the sum of two would not fit 64 bits

Floats = npt.NDArray[np.float64]
Window = tuple[float, float]


class NoEnergyError(Exception):
    """Why there is no number. The report shows the message as it is."""


class Curve:
    """A meter's trace over time, in seconds since `zero_ns`. `offset_ns`, board clock less meter clock, is added to its times.

    A reading is about a moment up to `delay_ns` before it: it is put in the middle of that, and is `edge_s` off at most, with half
    a period to the next.
    """

    def __init__(self, trace: PowerTrace, zero_ns: int, offset_ns: int = 0) -> None:
        """NoEnergyError where the trace is not plausible."""
        if not trace.t_ns:
            raise NoEnergyError(trace.note or "the meter reported nothing")
        self.accumulates = not trace.power_uw
        values = trace.energy_uj if self.accumulates else trace.power_uw
        shift_ns = offset_ns - trace.delay_ns // 2 - zero_ns
        strange = trace.period_ns <= 0 or trace.delay_ns < 0 or max(map(abs, (shift_ns, *trace.t_ns))) > MOST_NS
        if strange or (trace.power_uw and trace.energy_uj) or len(values) != len(trace.t_ns):
            raise NoEnergyError("the trace contradicts itself")
        self.t_s: Floats = (np.array(trace.t_ns, np.int64) + shift_ns) / 1e9
        if (np.diff(self.t_s) <= 0).any():
            raise NoEnergyError("the meter's clock went back")
        self.period_s = trace.period_ns / 1e9
        self.edge_s = (trace.delay_ns + trace.period_ns) / 2e9
        self.last_failure = trace.note
        self.values: Floats = np.array(values, np.int64) / 1e6
        if self.accumulates and (np.diff(self.values) < 0).any():
            raise NoEnergyError("the meter's energy went back")

    def joules(self, window: Window) -> float:
        """The integral over exactly the window: trapezoids with interpolated edges, or the difference of the counter."""
        start, end = window
        if self.accumulates:
            low, high = np.interp([start, end], self.t_s, self.values)
            return float(high - low)
        inside = (self.t_s > start) & (self.t_s < end)
        t = np.concatenate(([start], self.t_s[inside], [end]))
        return float(np.trapezoid(np.interp(t, self.t_s, self.values), t))

    def readings(self, window: Window) -> int:
        return int(np.count_nonzero((self.t_s >= window[0]) & (self.t_s <= window[1])))

    def watts(self, window: Window) -> tuple[float, float]:
        """Return (mean power, its uncertainty by the scatter of up to 10 batches, which sees slow swings, too). NoEnergyError."""
        start, end = window
        count = self.readings(window)
        batches = 10 if count >= 20 else FEWEST
        if count < FEWEST:
            raise NoEnergyError(f"{count} readings in {end - start:.3g} s are too few")
        edges = np.linspace(start, end, batches + 1)
        means = np.array([self.joules(edge) for edge in itertools.pairwise(edges)]) / np.diff(edges)
        mean = self.joules(window) / (end - start)
        # a counter loses nothing between two readings; only the edges are uncertain, those of a batch as much as those of the window
        if self.accumulates:
            return mean, T95[batches] * float(means.std(ddof=1)) / batches
        return mean, T95[batches] * float(means.std(ddof=1)) / math.sqrt(batches)

    def dropped(self, window: Window) -> tuple[int, int]:
        """Return (readings expected, of those missing). NoEnergyError for more than 1 %, and for a meter or clock that stood still."""
        start, end = window
        last = float(self.t_s[-1])
        if last < end - LONGEST_GAP_PERIODS * self.period_s:
            raise NoEnergyError(f"the meter ended {end - last:.3g} s too early{self._why()}")
        if float(self.t_s[0]) > start + LONGEST_GAP_PERIODS * self.period_s:
            raise NoEnergyError(f"the meter began {float(self.t_s[0]) - start:.3g} s too late{self._why()}")
        expected = math.floor((end - start) / self.period_s)
        missing = max(0, expected - self.readings(window) - 1)  # one may lie just outside
        if missing > MAX_DROPPED_RATIO * expected:
            raise NoEnergyError(f"{missing} of {expected} readings are missing{self._why()}")
        inside: Floats = self.t_s[(self.t_s > start) & (self.t_s < end)]
        gap = float(np.diff(inside).max(initial=0.0))
        if gap > max(LONGEST_GAP_PERIODS * self.period_s, MAX_DROPPED_RATIO * (end - start)):
            raise NoEnergyError(f"nothing was read for {gap:.3g} s: the meter hung, or its clock was set{self._why()}")
        return expected, missing

    def _why(self) -> str:
        return f" ({self.last_failure})" if self.last_failure else ""


def correlation(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Pearson's correlation; 0 where one of them is constant."""
    deviation = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean()) / deviation if deviation else 0.0
