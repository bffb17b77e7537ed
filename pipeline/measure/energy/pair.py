"""Two files interleaved under one meter -> net joules of an inference of each, over all cycles of a pair of fresh processes.

A meter's gain is the same for both sides and cancels; so does what drifts more slowly than a cycle. Idle power that is not
known well enters both sides alike: of its error, in units of the net power, only the share of the change itself is left in their
ratio. So a pair may be far shorter than a measurement of joules. The order within each cycle is drawn, so that under no change each
sign is a coin toss. Verdicts rest on pairs, one number each: what differs from process to process would make the cycles
of one pair agree with each other, and be called a change.
"""

import itertools
import math

import msgspec

from device_agent.wire import EnergyWindow, Paired, PowerTrace
from pipeline.measure.energy.reading import RESOLUTION_W, SAME_CLOCK, Idle, Sync, seconds_into, settled
from pipeline.measure.energy.trace import Curve, NoEnergyError

# of a block that may lie on the wrong side of its edge: an effect of 5 % is reported as at least 4.7 %, in the mean of the orders. What
# the first or last block loses to idle makes a pair of one cycle say up to 2.7 % more or less: its sign is drawn with the order
MAX_EDGE_RATIO = 0.05


class PairJoules(msgspec.Struct, frozen=True, kw_only=True):
    """Net joules of one inference of each side, over all cycles of a pair."""

    baseline_j: float
    candidate_j: float

    @property
    def log_ratio(self) -> float:
        return math.log(self.candidate_j / self.baseline_j)


def joules_of_pair(paired: Paired, trace: PowerTrace, sync: Sync = SAME_CLOCK) -> PairJoules:
    """NoEnergyError where the trace cannot be trusted, or the blocks' edges are not known well enough for their length."""
    if not paired.blocks or len(paired.idle) != 2:
        raise NoEnergyError("the pair has no blocks, or no idle time around them")
    if any(later.start_ns < earlier.end_ns for earlier, later in itertools.pairwise(paired.blocks)):
        raise NoEnergyError("the blocks of the pair are not one after the other")
    ran = EnergyWindow(
        runs=sum(block.runs for block in paired.blocks),
        start_ns=paired.blocks[0].start_ns,
        end_ns=paired.blocks[-1].end_ns,
        lead_ns=0,
        idle=paired.idle,
        busy=(),
        sampler=(),
    )
    curve = Curve(trace, ran.start_ns, sync.offset_ns)
    edge_s = sync.uncertainty_s + curve.edge_s
    block_s = min(block.end_ns - block.start_ns for block in paired.blocks) / 1e9
    if edge_s > MAX_EDGE_RATIO * block_s:
        raise NoEnergyError(
            f"its readings are known within {edge_s:.3g} s only, too much for blocks of {block_s:.3g} s"
        )
    waits = [(seconds_into(start, ran), seconds_into(end, ran)) for start, end in ran.idle]
    curve.dropped((settled(waits[0], curve.edge_s)[0], settled(waits[1], curve.edge_s)[1]))
    idle = Idle(curve, waits)
    net_j, runs = {"A": 0.0, "B": 0.0}, {"A": 0, "B": 0}
    for block in paired.blocks:
        window = (seconds_into(block.start_ns, ran), seconds_into(block.end_ns, ran))
        if window[1] <= window[0] or block.runs < 1 or block.side not in runs:
            raise NoEnergyError("a block without time, inferences or side")
        net_j[block.side] += curve.joules(window) - idle.watt * (window[1] - window[0])
        runs[block.side] += block.runs
    if min(runs.values()) < 1:
        raise NoEnergyError("a pair with one side only")
    if min(net_j.values()) <= RESOLUTION_W * (ran.end_ns - ran.start_ns) / 1e9:
        raise NoEnergyError("the load cannot be told from idle")
    return PairJoules(baseline_j=net_j["A"] / runs["A"], candidate_j=net_j["B"] / runs["B"])
