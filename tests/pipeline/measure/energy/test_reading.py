"""Joules: by hand where a hand can, by simulated meters (benchmarks/energy/energy_curves.py) where not; and what is broken is no number."""

import json
import math
import re

import numpy as np
import pytest

from benchmarks.energy import energy_curves as simulated
from benchmarks.energy import energy_idle
from benchmarks.energy import energy_pairs as in_pairs
from device_agent import wire
from device_agent.record import replace
from pipeline.measure.energy.reading import Idle, Sync, least_window_s, reading_of, sampler_cost_ratio
from pipeline.measure.energy.trace import Curve
from tests.support.power import RAN, S, counter, trace, watts

# --- by hand


@pytest.mark.parametrize("told", [trace(), counter()], ids=["power", "counter"])
def test_gross_and_net_of_a_known_curve(told):
    said = reading_of(told, RAN)
    assert said.invalid == ""
    assert said.gross_j == pytest.approx(5 * 9 / 1000, rel=1e-6)
    assert said.net_j == pytest.approx(3 * 9 / 1000, rel=1e-6)
    assert (said.idle_before_w, said.idle_after_w) == (pytest.approx(2), pytest.approx(2))
    assert (said.inferences, said.window_s, said.dropped) == (1000, 9, 0)
    assert said.net.total_j < 1e-6  # nothing swings here, and the gain is not told
    assert said.net.gain_j is None


def test_the_gain_counts_for_both_and_the_offset_for_gross_only():
    said = reading_of(trace(gain_ppm=10_000, offset_uw=100_000), RAN)
    assert said.gross.gain_j == pytest.approx((0.01 * 5 + 0.1) * 9 / 1000)
    assert said.net.gain_j == pytest.approx(0.01 * 3 * 9 / 1000)
    assert said.net.total_j >= said.net.gain_j


def test_edges_within_a_period_are_interpolated():
    """A ramp: 1 W more each second, read at 0.5 s; the window's ends are no moments of readings."""
    t_s = np.arange(0, 100, 0.1)
    told = trace(0.1, t_ns=tuple(int(t * S) for t in t_s), power_uw=tuple(round(t * 1e6) for t in t_s))
    assert Curve(told, 0).joules((10.123, 20.456)) == pytest.approx((20.456**2 - 10.123**2) / 2, rel=1e-9)


def test_a_clock_that_is_off_is_paid_for_beyond_the_lead():
    """0.3 s of load lie before and after: a clock that is wrong by less costs nothing, by 0.5 s more 3 W for that time."""
    near, far = (reading_of(trace(), RAN, Sync(0, s)) for s in (0.2, 0.8))
    assert near.net.sync_j == 0
    assert far.net.sync_j == pytest.approx(3 * (0.8 + 0.005 - 0.3) / 1000)


def test_a_late_reading_is_put_where_it_belongs():
    """The mean of the last 0.4 s: 0.2 s late, and nothing is lost at the edges of a window in the middle of the load's ramp."""
    t_s = np.arange(0, 31, 0.01)
    late = trace(
        t_ns=tuple(int(t * S) for t in t_s), power_uw=tuple(round((t - 0.2) * 1e6) for t in t_s), delay_ns=400_000_000
    )
    curve = Curve(late, 0)
    assert curve.joules((5, 10)) == pytest.approx((100 - 25) / 2, rel=1e-6)
    assert curve.edge_s == pytest.approx(0.205)
    assert reading_of(trace(delay_ns=400_000_000), RAN).edge_s == pytest.approx(0.205)


def idle_of(before: list[float], after: list[float]) -> Idle:
    """Of pieces of 2 s with these powers, behind the time to settle; 10 s of work between them."""
    t_s = np.arange(0.0005, 60, 0.001)
    power = np.full(len(t_s), 9.0)
    for start, levels in ((0, before), (20, after)):
        for number, level in enumerate(levels):
            power[(t_s >= start + 0.5 + 2 * number) & (t_s < start + 2.5 + 2 * number)] = level
        power[(t_s >= start) & (t_s < start + 0.5)] = levels[0]
        power[(t_s >= start + 0.5 + 2 * len(levels)) & (t_s < start + 1 + 2 * len(levels))] = levels[-1]
    told = trace(0.001, t_ns=tuple(int(t * S) for t in t_s), power_uw=tuple(int(p * 1e6) for p in power))
    return Idle(Curve(told, 0), [(0, 1 + 2 * len(before)), (20, 21 + 2 * len(after))])


def test_idle_meanwhile_is_one_more_draw_of_its_pieces():
    """By hand: eight pieces, Student's t of 7 degrees of freedom 2.365, sqrt(1 + 1/8)."""
    before, after = [2.00, 2.02, 1.98, 2.04], [2.01, 1.97, 2.03, 1.99]
    idle = idle_of(before, after)
    assert idle.watt == pytest.approx(2.005, abs=1e-4)
    assert idle.uncertainty_w == pytest.approx(2.365 * np.std(before + after, ddof=1) * math.sqrt(9 / 8), rel=0.01)
    shifted = idle_of(before, [watt + 0.08 for watt in after])
    assert shifted.uncertainty_w > 2 * 0.04  # a difference of 80 mW is not half of it for 95 %


@pytest.mark.parametrize("kind", ["white", "a random walk", "forgets in 10 s", "swings of 3 to 12 s"])
def test_idle_while_busy_lies_within_what_is_stated(kind):
    """400 draws each, of which 95 % would be 380 +- 9."""
    assert energy_idle.inside(kind, 5, 400, np.random.default_rng(3)) >= 366


# --- no number


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (trace(note="it was unplugged", t_ns=(), power_uw=()), "it was unplugged"),
        (trace(until_s=15, note="a reading failed: I/O"), r"ended 5 s too early \(a reading failed: I/O\)"),
        (trace(0.1), "a window of 9 s is too short for it: 30 s are needed"),
        (trace(1.0), "60 s are needed"),
        (trace(power_uw=(1,)), "contradicts itself"),
        (trace(period_ns=0), "contradicts itself"),
        (trace(delay_ns=-1), "contradicts itself"),
        (trace(delay_ns=2**63 - 1), "contradicts itself"),
        (trace(t_ns=tuple(2**63 - 4000 + n for n in range(len(trace().t_ns)))), "contradicts itself"),
        (replace(counter(), energy_uj=tuple(reversed(counter().energy_uj))), "energy went back"),
        (trace(power_uw=tuple(2_000_000 for _ in trace().t_ns)), "cannot be told from idle"),
        (trace(power_uw=tuple(2_000_000 + 20_000 * (n // 150 % 2) + 1000 * (9 * S < t < 21 * S) for n, t in enumerate(trace().t_ns))), "cannot be told from idle"),
        (trace(power_uw=tuple(round(watts(t / S) * 1e6 * (1.1 if t > 21 * S else 1)) for t in trace().t_ns)), r"idle drifted from 2 to 2\.2 W"),
        (trace(t_ns=tuple(t - (2 * S if t > 15 * S else 0) for t in trace().t_ns)), "clock went back"),
        (trace(t_ns=tuple(t + (2 * S if t > 15 * S else 0) for t in trace().t_ns)), "missing|nothing was read for 2"),
    ],
)  # fmt: skip
def test_what_is_broken_is_no_number(told, why):
    said = reading_of(told, RAN)
    assert re.search(why, said.invalid), said.invalid
    assert (said.gross_j, said.net_j, said.net, said.gross) == (None,) * 4


def test_up_to_one_per_cent_may_be_missing():
    def without(share: float) -> wire.PowerTrace:
        told, inside = trace(), [n for n, t in enumerate(trace().t_ns) if 12 * S < t < 19 * S]
        gone = set(inside[:: len(inside) // round(900 * share)][: round(900 * share)])
        keep = [n for n in range(len(told.t_ns)) if n not in gone]
        return replace(told, t_ns=tuple(told.t_ns[n] for n in keep), power_uw=tuple(told.power_uw[n] for n in keep))

    assert reading_of(without(0.008), RAN).dropped == pytest.approx(7, abs=1)
    assert "of 900 readings are missing" in reading_of(without(0.02), RAN).invalid


@pytest.mark.parametrize(
    ("period_s", "accumulates", "window_s"), [(0.01, False, 5), (0.1, False, 30), (1, False, 60), (0.1, True, 5)]
)
def test_the_shortest_window(period_s, accumulates, window_s):
    assert least_window_s(period_s, accumulates=accumulates) == window_s


def test_the_cost_of_reading_is_the_median_of_its_pairs():
    assert sampler_cost_ratio([(100, 103), (100, 101), (100, 250)]) == pytest.approx(0.03)
    assert sampler_cost_ratio([]) is None


# --- simulated meters, a share of the figure


@pytest.mark.parametrize("name", ["jetson_ina3221", "ina226", "rapl", "joulescope", "pi5_pmic"])
def test_a_simulated_meter_comes_out_within_its_uncertainty(name):
    """Four runs of each: three of them must, which an interval of 95 % fails once in 70 times; the seed is fixed."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(4):
        said, gross_j, net_j = simulated.trial(name, rng, with_gain=True)
        assert said.invalid == ""
        assert said.net_j == pytest.approx(net_j, rel=0.2)
        hits += abs(said.gross_j - gross_j) <= said.gross.total_j and abs(said.net_j - net_j) <= said.net.total_j
    assert hits >= 3


@pytest.mark.parametrize("fault", simulated.FAULTS)
@pytest.mark.parametrize("name", ["pi5_pmic", "joulescope"])
def test_a_simulated_fault_is_no_number(name, fault):
    said, _, _ = simulated.trial(name, np.random.default_rng(3), True, fault)
    assert said.invalid
    assert said.net_j is None


def test_five_per_cent_are_found_in_a_minute_and_nothing_where_nothing_is():
    """By what the product does: each file alone, then pairs of fresh processes."""
    rng = np.random.default_rng(11)
    assert in_pairs.verdict("rapl", rng, 0.05) == ("REGRESSED", pytest.approx(60, abs=0.1))
    assert in_pairs.verdict("rapl", rng, 0.0) == ("PASS", pytest.approx(60, abs=0.1))


@pytest.mark.parametrize("fault", simulated.FAULTS)
def test_a_fault_in_a_pair_is_no_number(fault):
    for name in ("jetson_ina3221", "rapl"):
        assert not in_pairs.number_given(name, np.random.default_rng(5), fault)


def test_json_is_not_needed_for_a_trace():
    assert wire.decode(wire.encode(trace())) == trace()
    assert json.loads(wire.encode(trace()))["kind"] == "PowerTrace"
