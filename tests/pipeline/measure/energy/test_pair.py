"""The joules of pairs of blocks."""

import itertools
import math

import numpy as np
import pytest

from device_agent import wire
from device_agent.record import replace
from pipeline.measure.energy.pair import joules_of_pair
from pipeline.measure.energy.trace import NoEnergyError
from tests.support.power import S, trace


def turns(t_s: np.ndarray, load, cycles=("ABBA", "BAAB")) -> wire.Paired:
    """Two cycles of blocks of 0.5 s, 25 inferences each, from 2 s on, and 1 s of idle on each side."""
    blocks, t = [], 2.0
    for cycle, sides in enumerate(cycles):
        for side in sides:
            blocks.append(wire.Block(cycle, side, int(t * S), int((t + 0.5) * S), 25, 0, 0, 0, None, None, 0, None))
            t += 0.5
    level = np.array([load(next((b.side for b in blocks if b.start_ns <= x * S < b.end_ns), "")) for x in t_s])
    told = trace(t_ns=tuple(int(x * S) for x in t_s), power_uw=tuple(round(watt * 1e6) for watt in level))
    return wire.Paired(0, 0, None, None, tuple(blocks), ((S, 2 * S), (6 * S, 7 * S)), (told,))


def test_the_joules_of_a_pair():
    """B takes 3.3 W above idle where A takes 3; both 25 inferences in half a second."""
    paired = turns(np.arange(0.005, 8, 0.01), lambda side: 2 + {"A": 3.0, "B": 3.3, "": 0.0}[side])
    (told,) = paired.power
    joules = joules_of_pair(paired, told)
    assert (joules.baseline_j, joules.candidate_j) == (pytest.approx(0.06, rel=0.01), pytest.approx(0.066, rel=0.01))
    assert joules.log_ratio == pytest.approx(math.log(1.1), abs=0.004)
    with pytest.raises(NoEnergyError, match="no blocks"):
        joules_of_pair(replace(paired, blocks=()), told)
    with pytest.raises(NoEnergyError, match="one after the other"):
        joules_of_pair(replace(paired, blocks=(*paired.blocks[1:], paired.blocks[0])), told)
    with pytest.raises(NoEnergyError, match="one side only"):
        joules_of_pair(replace(paired, blocks=paired.blocks[:1]), told)
    with pytest.raises(NoEnergyError, match="readings are missing"):
        joules_of_pair(paired, replace(told, t_ns=told.t_ns[::2], power_uw=told.power_uw[::2]))


def test_of_an_error_of_idle_only_the_share_of_the_change_is_left():
    """Idle that is 5 % of the net power off, which a pair of seconds may be: a change of 10 % is told as 10.5 %, and none as none."""
    for more, told_as in ((0.1, 0.105), (0.0, 0.0)):
        net = {"A": 2.0, "B": 2.0 * (1 + more)}
        paired = turns(np.arange(0.005, 8, 0.01), lambda side, net=net: 2.1 if not side else 2 + net[side])
        assert math.expm1(joules_of_pair(paired, paired.power[0]).log_ratio) == pytest.approx(told_as, abs=0.003)


@pytest.mark.parametrize("late_s", [0.025, -0.025])
def test_readings_as_late_as_they_may_be_cost_a_change_little_and_make_none(late_s):
    """A twentieth of a block: what the last block loses to idle has a side that was drawn, so it is nothing in the mean."""
    for more, told_as in ((0.05, 0.0472), (0.0, 0.0)):
        net, found = {"A": 3.0, "B": 3.0 * (1 + more), "": 0.0}, []
        for cycles in itertools.product(("ABBA", "BAAB"), repeat=2):
            paired = turns(np.arange(0.005, 8, 0.01), lambda side, net=net: 2 + net[side], cycles)
            told = paired.power[0]
            late = replace(told, t_ns=tuple(t_ns + int(late_s * S) for t_ns in told.t_ns))
            found.append(
                joules_of_pair(replace(paired, idle=((S, int(1.9 * S)), (int(6.1 * S), 7 * S))), late).log_ratio
            )
        assert math.expm1(np.mean(found)) == pytest.approx(told_as, abs=0.001)
        assert max(found) - min(found) < 0.03
