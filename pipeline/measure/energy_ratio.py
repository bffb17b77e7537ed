"""Two files in turns under one meter -> how much more the second uses: the log of the net energies' ratio, one for each cycle.

A meter's gain is the same for both sides and cancels; so does what drifts more slowly than a cycle. The order within each cycle
is drawn, so that under no change each sign is a coin toss, and pipeline/decision.py judges the cycles as it judges pairs.
"""

import math

from device_agent.wire import EnergyWindow, Paired, PowerTrace
from pipeline.measure.energy import SAME_CLOCK, Idle, Sync, least_window_s, seconds_into
from pipeline.measure.power import Curve, NoEnergyError


def log_ratios(paired: Paired, trace: PowerTrace, sync: Sync = SAME_CLOCK) -> list[float]:
    """Log of B / A, net joules per inference, of each cycle. NoEnergyError where the trace can not be trusted."""
    if not paired.blocks or len(paired.idle) != 2:
        raise NoEnergyError("the pair has no blocks, or no idle time around them")
    ran = EnergyWindow(
        runs=sum(block.runs for block in paired.blocks), start_ns=paired.blocks[0].start_ns, end_ns=paired.blocks[-1].end_ns,
        lead_ns=0, idle=paired.idle, busy=(), sampler=(),
    )  # fmt: skip
    curve = Curve(trace, ran.start_ns, sync.offset_ns)
    length_s = (ran.end_ns - ran.start_ns) / 1e9
    idle = Idle(curve, [(seconds_into(start, ran), seconds_into(end, ran)) for start, end in ran.idle], length_s)
    curve.dropped((0.0, length_s))
    net_j: dict[tuple[int, str], float] = {}
    runs: dict[tuple[int, str], int] = {}
    side_s = {"A": 0.0, "B": 0.0}
    for block in paired.blocks:
        window = (seconds_into(block.start_ns, ran), seconds_into(block.end_ns, ran))
        if window[1] <= window[0] or block.runs < 1:
            raise NoEnergyError("a block without time or inferences")
        key = (block.cycle, block.side)
        net_j[key] = net_j.get(key, 0.0) + curve.joules(window) - idle.watt * (window[1] - window[0])
        runs[key] = runs.get(key, 0) + block.runs
        side_s[block.side] += window[1] - window[0]
    least_s = least_window_s(curve.period_s, accumulates=curve.accumulates)
    if min(side_s.values()) < least_s:
        raise NoEnergyError(f"{min(side_s.values()):.3g} s of a side are too short for it: {least_s:g} s are needed")
    if min(net_j.values()) <= 0:
        raise NoEnergyError("the load can not be told from idle in every cycle")
    cycles = sorted({cycle for cycle, _ in net_j})
    if any((cycle, side) not in net_j for cycle in cycles for side in "AB"):
        raise NoEnergyError("a cycle has one side only")
    return [
        math.log(net_j[cycle, "B"] / runs[cycle, "B"]) - math.log(net_j[cycle, "A"] / runs[cycle, "A"])
        for cycle in cycles
    ]
