"""Clocks of meters: found by round trips and by a pattern of load."""

import numpy as np
import pytest

from device_agent import wire
from device_agent.record import replace
from pipeline.measure.energy.capture import found_by_pattern, offset_of
from pipeline.measure.energy.reading import Sync
from pipeline.measure.energy.trace import NoEnergyError
from tests.support.power import S, trace


def test_the_shortest_round_trip_tells_the_offset(monkeypatch):
    """The board's clock is 1000 s ahead; of five round trips one is quick, the others wait on the way there."""
    import time

    delays = iter([0.5, 0.4, 0.002, 0.3, 0.2])
    now = [5 * S]
    monkeypatch.setattr(time, "monotonic_ns", lambda: now[0])

    def observe():
        now[0] += int(next(delays) * S)
        board_ns = now[0] + 1000 * S
        now[0] += 1_000_000
        return wire.Conditions(**{**dict.fromkeys(wire.Conditions.__annotations__), "t_ns": board_ns})

    offset_ns, half_s = offset_of(observe)
    assert half_s == pytest.approx(0.0015)
    assert abs(offset_ns - 1000 * S) <= half_s * S


@pytest.mark.parametrize("own_clock", [False, True])
def test_the_pattern_of_load_finds_the_clock(own_clock):
    """3 x 0.5 s busy, 0.5 s idle; the meter's clock is 0.4 s ahead of the guess, or anywhere."""
    busy = tuple((int((1 + n) * S), int((1.5 + n) * S)) for n in range(3))
    ran = wire.EnergyWindow(
        runs=1000,
        start_ns=16 * S,
        end_ns=25 * S,
        lead_ns=0,
        idle=((5 * S, 15 * S), (26 * S, 36 * S)),
        busy=busy,
        sampler=(),
    )
    load = lambda t: 5.0 if 16 <= t < 25 or any(a <= t * S < b for a, b in busy) else 2.0  # noqa: E731
    t_s = np.arange(0, 37, 0.01)
    ahead = 1234.4 if own_clock else 0.4
    told = trace(t_ns=tuple(int((t + ahead) * S) for t in t_s), power_uw=tuple(round(load(t) * 1e6) for t in t_s))
    sync = found_by_pattern(told, ran, None if own_clock else Sync(0, 0.5))
    assert sync.offset_ns == pytest.approx(-ahead * S, abs=0.015 * S)
    assert sync.uncertainty_s <= 0.02
    flat = replace(told, power_uw=tuple(2_000_000 for _ in t_s))
    if own_clock:
        with pytest.raises(NoEnergyError, match="the pattern of load is not visible"):
            found_by_pattern(flat, ran, None)
    else:
        assert found_by_pattern(flat, ran, Sync(0, 0.5)) == Sync(0, 0.5)


@pytest.mark.parametrize("busy", [((0, S), (2 * S, 2**62)), ((S, 0), (0, S)), ((2 * S, 3 * S), (-(2**62), 0))])
def test_a_pattern_of_load_that_no_agent_made(busy):
    """Nothing is searched for years, and no memory taken for it."""
    ran = wire.EnergyWindow(
        runs=1,
        start_ns=16 * S,
        end_ns=25 * S,
        lead_ns=0,
        idle=((5 * S, 15 * S), (26 * S, 36 * S)),
        busy=busy,
        sampler=(),
    )
    told = trace(t_ns=tuple(range(0, 37 * S, S // 100)), power_uw=(2_000_000,) * 3700)
    for guess in (None, Sync(0, 0.5)):
        with pytest.raises(NoEnergyError, match="are impossible"):
            found_by_pattern(told, ran, guess)


def test_a_file_of_years_is_not_searched():
    ran = wire.EnergyWindow(
        runs=1, start_ns=16 * S, end_ns=25 * S, lead_ns=0, idle=((5 * S, 15 * S), (26 * S, 36 * S)), busy=((S, 2 * S),), sampler=()
    )  # fmt: skip
    with pytest.raises(NoEnergyError, match="too long"):
        found_by_pattern(trace(t_ns=(0, 2**62), power_uw=(1, 2)), ran, None)
