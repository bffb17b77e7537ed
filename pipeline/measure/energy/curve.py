"""A meter's trace made small enough for a record and a picture: `pipeline.records.PowerCurve`."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from device_agent.wire import EnergyWindow, Paired, PowerTrace
from pipeline.measure.energy.trace import LONGEST_GAP_PERIODS, Curve, Floats, NoEnergyError
from pipeline.records import PowerCurve, PowerSpan

MOST_STEPS = 400  # a picture is 480 wide
FEWEST_STEPS = 2
MICROWATT_DIGITS = 6  # the agent reports no less

Times = tuple[str, int, int]  # what, and from when to when in ns of the board's clock


def curve_of(trace: PowerTrace, ran: EnergyWindow, offset_ns: int = 0) -> PowerCurve | None:
    """The power curve of a launch for the meters. `offset_ns`: board clock less the meter's. None where there is nothing to draw."""
    times = [("window", ran.start_ns, ran.end_ns), *(("idle", *span) for span in ran.idle)]
    return _thinned(trace, times, ran.start_ns, offset_ns)


def curve_of_pair(trace: PowerTrace, paired: Paired, offset_ns: int = 0) -> PowerCurve | None:
    """The power curve of one pair, with its blocks; 0 s is the start of the first."""
    times = [(block.side, block.start_ns, block.end_ns) for block in paired.blocks]
    zero_ns = times[0][1] if times else 0
    return _thinned(trace, [*times, *(("idle", *span) for span in paired.idle)], zero_ns, offset_ns)


def _thinned(trace: PowerTrace, times: Sequence[Times], zero_ns: int, offset_ns: int) -> PowerCurve | None:
    """From the first of `times` to the last; what lies outside was another process's."""
    try:
        curve = Curve(trace, zero_ns, offset_ns)
    except NoEnergyError:
        return None
    spans = [
        PowerSpan(what=what, start_s=(start_ns - zero_ns) / 1e9, end_s=(end_ns - zero_ns) / 1e9)
        for what, start_ns, end_ns in sorted(times, key=lambda each: each[1:])
        if end_ns > start_ns
    ]
    if not spans:
        return None
    start_s, end_s = spans[0].start_s, max(span.end_s for span in spans)
    steps = min(MOST_STEPS, curve.readings((start_s, end_s)))
    if steps < FEWEST_STEPS:
        return None
    edges: Floats = np.linspace(start_s, end_s, steps + 1)
    step_s = (end_s - start_s) / steps
    known = _known(curve, edges)
    if not known.any():
        return None
    watts = tuple(
        round(curve.joules(step) / step_s, MICROWATT_DIGITS) if read else None
        for step, read in zip(itertools.pairwise(map(float, edges)), known, strict=True)
    )
    return PowerCurve(start_s=start_s, step_s=step_s, watts=watts, spans=tuple(spans))


def _known(curve: Curve, edges_s: Floats) -> npt.NDArray[np.bool_]:
    """Whether the meter was read around these steps: a line across a hole would show what was not measured."""
    after = np.searchsorted(curve.t_s, (edges_s[1:] + edges_s[:-1]) / 2).clip(1, len(curve.t_s) - 1)
    gap_s = curve.t_s[after] - curve.t_s[after - 1]
    inside = (edges_s[:-1] >= curve.t_s[0]) & (edges_s[1:] <= curve.t_s[-1])
    known: npt.NDArray[np.bool_] = inside & (gap_s <= LONGEST_GAP_PERIODS * curve.period_s)
    return known
