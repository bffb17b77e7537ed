"""Two files in turns under one meter -> how much more the second uses: the log of the net energies' ratio, of each cycle or pair.

A meter's gain is the same for both sides and cancels; so does what drifts more slowly than a cycle. The order within each cycle
is drawn, so that under no change each sign is a coin toss. Verdicts rest on pairs of fresh processes, one number each: what
differs from process to process would make the cycles of one pair agree with each other, and be called a change.
"""

import math

import msgspec

from device_agent.wire import EnergyWindow, Paired, PowerTrace
from pipeline.measure.energy import SAME_CLOCK, Idle, Sync, least_window_s, seconds_into
from pipeline.measure.power import Curve, NoEnergyError

MAX_EDGE_RATIO = (
    0.05  # of a block that may lie on the wrong side of its edge: an effect of 5 % is told as 4.75 % at the least
)


class PairJoules(msgspec.Struct, frozen=True, kw_only=True):
    """Net, of one inference, over all cycles of a pair."""

    baseline_j: float
    candidate_j: float

    @property
    def log_ratio(self) -> float:
        return math.log(self.candidate_j / self.baseline_j)


class _Cycles(msgspec.Struct, frozen=True):
    """By (cycle, side): net joules, and inferences."""

    net_j: dict[tuple[int, str], float]
    runs: dict[tuple[int, str], int]

    def joules(self, side: str, *cycles: int) -> float:
        """Of one inference; () of `cycles` stands for all."""
        keys = [key for key in self.net_j if key[1] == side and (not cycles or key[0] in cycles)]
        return sum(self.net_j[key] for key in keys) / sum(self.runs[key] for key in keys)


def log_ratios(paired: Paired, trace: PowerTrace, sync: Sync = SAME_CLOCK) -> list[float]:
    """Log of B / A, net joules per inference, of each cycle. NoEnergyError where the trace can not be trusted."""
    told = _cycles(paired, trace, sync)
    cycles = sorted({cycle for cycle, _ in told.net_j})
    return [math.log(told.joules("B", cycle) / told.joules("A", cycle)) for cycle in cycles]


def joules_of_pair(paired: Paired, trace: PowerTrace, sync: Sync = SAME_CLOCK) -> PairJoules:
    """Of a pair as a whole. NoEnergyError, also where the blocks' edges are not known well enough for their length."""
    told = _cycles(paired, trace, sync)
    edge_s = sync.uncertainty_s + trace.delay_ns / 1e9 + trace.period_ns / 2e9
    block_s = min(block.end_ns - block.start_ns for block in paired.blocks) / 1e9
    if edge_s > MAX_EDGE_RATIO * block_s:
        raise NoEnergyError(
            f"its readings are known within {edge_s:.3g} s only, too much for blocks of {block_s:.3g} s"
        )
    return PairJoules(baseline_j=told.joules("A"), candidate_j=told.joules("B"))


def _cycles(paired: Paired, trace: PowerTrace, sync: Sync) -> _Cycles:
    if not paired.blocks or len(paired.idle) != 2:
        raise NoEnergyError("the pair has no blocks, or no idle time around them")
    ran = EnergyWindow(
        runs=sum(block.runs for block in paired.blocks), start_ns=paired.blocks[0].start_ns, end_ns=paired.blocks[-1].end_ns,
        lead_ns=0, idle=paired.idle, busy=(), sampler=(),
    )  # fmt: skip
    curve = Curve(trace, ran.start_ns, sync.offset_ns)
    length_s = (ran.end_ns - ran.start_ns) / 1e9
    curve.dropped((0.0, length_s))
    idle = Idle(curve, [(seconds_into(start, ran), seconds_into(end, ran)) for start, end in ran.idle], length_s)
    net_j: dict[tuple[int, str], float] = {}
    runs: dict[tuple[int, str], int] = {}
    side_s = {"A": 0.0, "B": 0.0}
    for block in paired.blocks:
        window = (seconds_into(block.start_ns, ran), seconds_into(block.end_ns, ran))
        if window[1] <= window[0] or block.runs < 1 or block.side not in side_s:
            raise NoEnergyError("a block without time, inferences or side")
        key = (block.cycle, block.side)
        net_j[key] = net_j.get(key, 0.0) + curve.joules(window) - idle.watt * (window[1] - window[0])
        runs[key] = runs.get(key, 0) + block.runs
        side_s[block.side] += window[1] - window[0]
    least_s = least_window_s(curve.period_s, accumulates=curve.accumulates)
    if min(side_s.values()) < least_s:
        raise NoEnergyError(f"{min(side_s.values()):.3g} s of a side are too short for it: {least_s:g} s are needed")
    if min(net_j.values()) <= 0:
        raise NoEnergyError("the load can not be told from idle in every cycle")
    if any((cycle, side) not in net_j for cycle in {cycle for cycle, _ in net_j} for side in "AB"):
        raise NoEnergyError("a cycle has one side only")
    return _Cycles(net_j, runs)
