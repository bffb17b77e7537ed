"""A meter's trace and what ran when -> joules per inference, gross and net, with an uncertainty in parts. Or why there is none.

Gross: all energy used between start and end. Net: gross less what the board uses when idle, as measured before and after.
Uncertainties are half-widths of 95 % intervals; a data sheet's limit is taken as one. Sources of the rules: MLPerf Power's
window and clock rules (its tolerance is 800 ms), and a simulation of meters of 1 to 1000 Hz (benchmarks/energy/energy_curves.py).
"""

import itertools
import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from device_agent.wire import EnergyWindow, Launched, PowerTrace
from pipeline import units
from pipeline.measure.energy.curve import curve_of
from pipeline.measure.energy.trace import Curve, NoEnergyError, Window
from pipeline.records import Doubt, EnergyParts, EnergyReading, PowerCurve

MAX_IDLE_DRIFT_RATIO = 0.05
MAX_SAMPLER_COST_RATIO = 0.01
RESOLUTION_W = 1e-6  # of what the agent sends: anything less is rounding
# at both ends of an idle time: governors step down in tenths of a second, filters of meters need as long
SETTLE_S = 0.5
SETTLE_RATIO = 0.2  # but no more than that of it
# (period up to, window at least), seconds: sd of net energy 3 % at 10 Hz in 10 s, 2 % in 30 s; 0.6 % at 100 Hz in 5 s (simulated)
WINDOWS_S = ((0.02, 5.0), (0.2, 30.0), (math.inf, 60.0))
ACCUMULATED_WINDOW_S = 5.0
PIECE_S = 2.0  # of an idle time
# Student's t, two-sided 95 %, by degrees of freedom: of 2 to 6 pieces before and as many after, less one
T95_PIECES = {3: 3.182, 5: 2.571, 7: 2.365, 9: 2.262, 11: 2.201}


class Sync(msgspec.Struct, frozen=True):
    """Board clock less the meter's, and how wrong it may be; 0 for a meter of the board."""

    offset_ns: int = 0
    uncertainty_s: float = 0.0


SAME_CLOCK = Sync()


def least_window_s(period_s: float, *, accumulates: bool) -> float:
    """The shortest window whose energy this meter can measure."""
    if accumulates and period_s <= 0.2:
        return ACCUMULATED_WINDOW_S
    return next(window for limit, window in WINDOWS_S if period_s <= limit)


def reading_of(trace: PowerTrace, ran: EnergyWindow, sync: Sync = SAME_CLOCK) -> EnergyReading:
    """Return what this meter measured of one launch; without a number and with `invalid` where it cannot be trusted."""
    try:
        return _valid(trace, ran, sync)
    except NoEnergyError as error:
        return without_number(trace, ran, str(error), curve_of(trace, ran, sync.offset_ns))


def without_number(trace: PowerTrace, ran: EnergyWindow, why: str, curve: PowerCurve | None = None) -> EnergyReading:
    return EnergyReading(
        meter=trace.meter,
        rail=trace.rail,
        quality=trace.quality,
        inferences=ran.runs,
        readings=len(trace.t_ns),
        failed=trace.failed,
        invalid=why,
        curve=curve,
    )


def _valid(trace: PowerTrace, ran: EnergyWindow, sync: Sync) -> EnergyReading:
    curve = Curve(trace, ran.start_ns, sync.offset_ns)
    window = (0.0, (ran.end_ns - ran.start_ns) / 1e9)
    length_s, least_s = window[1], least_window_s(curve.period_s, accumulates=curve.accumulates)
    if length_s < least_s * 0.999 or ran.runs < 1 or len(ran.idle) != 2:
        raise NoEnergyError(f"a window of {length_s:.3g} s is too short for it: {least_s:g} s are needed")
    expected, dropped = curve.dropped(window)
    idle = Idle(curve, [(seconds_into(a, ran), seconds_into(b, ran)) for a, b in ran.idle])
    watt, scatter_w = curve.watts(window)
    net_w = watt - idle.watt
    if net_w <= max(RESOLUTION_W, math.hypot(scatter_w, idle.uncertainty_w)):
        raise NoEnergyError("the load cannot be told from idle")
    per = length_s / ran.runs  # seconds per inference: watts become joules of one
    lead_s = ran.lead_ns / 1e9
    shift_s = max(0.0, sync.uncertainty_s + curve.edge_s - lead_s)
    edge = net_w * shift_s / length_s * per  # the load's step, seen too early or too late by this
    gain = None if trace.gain_ppm is None else trace.gain_ppm / 1e6
    offset_w = (trace.offset_uw or 0) / 1e6  # the same when idle: no part of the net energy
    gross = EnergyParts(
        gain_j=None if gain is None else (gain * watt + offset_w) * per,
        sampling_j=scatter_w * per,
        sync_j=edge,
        idle_j=0.0,
    )
    net = EnergyParts(
        gain_j=None if gain is None else gain * net_w * per,
        sampling_j=scatter_w * per,
        sync_j=edge,
        idle_j=idle.uncertainty_w * per,
    )
    return EnergyReading(
        meter=trace.meter,
        rail=trace.rail,
        quality=trace.quality,
        inferences=ran.runs,
        readings=curve.readings(window),
        failed=trace.failed,
        window_s=length_s,
        expected=expected,
        dropped=dropped,
        gross_j=watt * per,
        net_j=net_w * per,
        gross=gross,
        net=net,
        idle_before_w=idle.before_w,
        idle_after_w=idle.after_w,
        edge_s=curve.edge_s,
        curve=curve_of(trace, ran, sync.offset_ns),
    )


class Idle:
    """The power of the idle board."""

    def __init__(self, curve: Curve, windows: Sequence[Window]) -> None:
        """Measure it in the two `windows`, before and after the work. NoEnergyError where they differ by more than 5 %.

        What idle would have been during the work was not measured. It is taken as one more draw of what the pieces of two seconds before and
        after were drawn from: the prediction interval of a further observation, t s sqrt(1 + 1/n) with n - 1 degrees of freedom
        (Hahn and Meeker, Statistical Intervals). So the whole drift counts as scatter, for a swing that is the same before
        and after says nothing about what lay between. Longer work is not assumed to average out a slow swing.
        """
        before, after = (self._pieces(curve, settled(window, curve.edge_s)) for window in windows)
        self.before_w, self.after_w = float(before.mean()), float(after.mean())
        self.watt = (self.before_w + self.after_w) / 2
        drift = abs(self.after_w - self.before_w)
        if self.watt <= 0 or drift > MAX_IDLE_DRIFT_RATIO * self.watt:
            raise NoEnergyError(
                f"idle drifted from {self.before_w:.3g} to {self.after_w:.3g} W: more than {units.level(MAX_IDLE_DRIFT_RATIO)}"
            )
        pieces = np.concatenate((before, after))
        # before and after may differ in length: never fewer degrees of freedom than the table has
        freedom = max(limit for limit in T95_PIECES if limit < len(pieces))
        self.uncertainty_w = T95_PIECES[freedom] * float(pieces.std(ddof=1)) * math.sqrt(1 + 1 / len(pieces))

    @staticmethod
    def _pieces(curve: Curve, window: Window) -> npt.NDArray[np.float64]:
        start, end = window
        curve.watts(window)  # NoEnergyError for too few readings
        edges = np.linspace(start, end, max(2, min(6, int((end - start) / PIECE_S))) + 1)
        return np.array([curve.joules(edge) for edge in itertools.pairwise(edges)]) / np.diff(edges)


def settled(window: Window, edge_s: float) -> Window:
    """Return the part of an idle window whose readings are about idle. NoEnergyError where nothing is left of it."""
    start, end = window
    cut = max(edge_s, min(SETTLE_S, SETTLE_RATIO * (end - start)))
    if end - start <= 2 * cut:
        raise NoEnergyError(f"{end - start:.3g} s of idle are too short for readings that are up to {edge_s:.3g} s off")
    return start + cut, end - cut


def seconds_into(t_ns: int, ran: EnergyWindow) -> float:
    return (t_ns - ran.start_ns) / 1e9


def doubts_about_energy(readings: Sequence[EnergyReading], launch: Launched) -> list[Doubt]:
    """Why a meter has no number, and whether reading the meters slows the model down."""
    doubts = [
        Doubt(
            what=f"no energy by {one.meter}",
            evidence=one.invalid,
            remedy=REMEDY,
            invalid=True,
            touches=f"energy {one.meter}",
        )
        for one in readings
        if one.invalid
    ]
    cost = sampler_cost_ratio(launch.energy.sampler) if launch.energy else None
    if cost is not None and cost > MAX_SAMPLER_COST_RATIO:
        doubts.append(
            Doubt(
                what="reading the meters costs time",
                touches="energy",
                evidence=f"an inference takes {units.level(cost)} longer while the meters are read",
                remedy="Read fewer meters, or one that the board does not read itself.",
            )
        )
    return doubts


REMEDY = "Let the board cool, stop other work on it, check the meter (`edgepress boards check NAME`), and measure again; docs/energy.md."


def sampler_cost_ratio(blocks: Sequence[tuple[int, int]]) -> float | None:
    """How much longer an inference takes while the meters are read: the median of the pairs of blocks (without, with)."""
    ratios = sorted(with_ns / without_ns - 1 for without_ns, with_ns in blocks if without_ns > 0 and with_ns > 0)
    return ratios[len(ratios) // 2] if ratios else None
