"""What a pair can be, and what the meters of launches and pairs can say."""

import pytest

from device_agent import wire as w
from device_agent.record import replace
from tests.support.launched import LATER
from tests.support.plausible_results import (
    BLOCKS,
    GOOD,
    LAUNCH,
    METER,
    PAIR,
    SIDE,
    TIMES,
    S,
    between,
    result,
    says,
    trace,
)

MEASURED = replace(LAUNCH, meters=METER)


@pytest.mark.parametrize(
    ("power", "words"),
    [
        ((trace(),), ""),
        ((trace(power_uw=(), energy_uj=(1, 2)),), ""),
        ((trace((0, 0), (1, 2)),), ""),
        ((trace((S, S), (1, 2)),), ""),
        ((trace((), ()),), ""),
        ((), "power = nothing in launch 1: ina219 was requested"),
        ((trace(meter="x"), trace(meter="y")), "power = x, y in launch 1: ina219 was requested"),
        ((trace((1,)),), "power of ina219 = 2 values in launch 1: it has 1 times"),
        ((trace(energy_uj=(1, 2)),), "power of ina219 = 2 values in launch 1: it has 2 times"),
        ((trace(power_uw=(), energy_uj=(1,)),), "power of ina219 = 1 values in launch 1: it has 2 times"),
        ((trace((-1, 2)),), between("power of ina219, t_ns", -1, 0, S)),
        ((trace((5, 4)),), between("power of ina219, t_ns", 4, 5, S)),
        ((trace((5, S + 1)),), between("power of ina219, t_ns", S + 1, 5, S)),
    ],
)
def test_what_the_meters_of_a_launch_say(power, words):
    says(result(power=power), words, MEASURED)


def test_meters_that_nobody_asked_for():
    says(result(power=(trace(),)), "power = ina219 in launch 1: no meter was requested")
    two = replace(LAUNCH, meters=(*METER, w.MeterUse("rapl", ())))
    says(result(), "power = nothing in launch 1: ina219, rapl was requested", two)


ENERGY = replace(LAUNCH, mode="energy")


def window(runs=1, start_ns=100, end_ns=200, idle=((50, 90), (210, 220)), busy=((10, 20), (20, 100))):
    return w.EnergyWindow(runs, start_ns, end_ns, 0, idle, busy, ())


@pytest.mark.parametrize(
    ("energy", "words"),
    [
        (window(), ""),
        (window(2**40, 100, 200, ((0, 100), (200, S))), ""),
        (window(idle=(), busy=()), ""),
        (window(0), between("energy.runs", 0, 1, 2**40)),
        (window(2**40 + 1), between("energy.runs", 2**40 + 1, 1, 2**40)),
        (window(idle=((50, 101), (210, 220))), between("energy.idle, start", 100, 101, S)),
        (window(idle=((50, 90), (199, 220))), between("energy.idle, start", 199, 200, S)),
        (window(idle=((50, 90), (210, S + 1))), between("energy.idle, end", S + 1, 210, S)),
        (window(idle=((50, 49), (210, 220))), between("energy.idle, end", 49, 50, S)),
        (window(end_ns=99), between("energy.idle, end", 99, 100, S)),
        (window(busy=((10, 20), (19, 30))), between("energy.busy, start", 19, 20, 100)),
        (window(busy=((10, 101),)), between("energy.busy, end", 101, 10, 100)),
        (window(busy=((-1, 101),)), between("energy.busy, start", -1, 0, 100)),
    ],
)
def test_the_window_of_the_energy(energy, words):
    says(result(latency_ns=(), energy=energy), words, ENERGY)


def blocks(at, **changes):
    return replace(GOOD, blocks=tuple(replace(b, **changes) if i == at else b for i, b in enumerate(BLOCKS)))


def of_pair(name, value, least, most, where="pair 1"):
    return between(name, value, least, most).replace("launch 1", where)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (GOOD, ""),
        (replace(GOOD, a=replace(TIMES, latency_ns=(100,) * 19)), of_pair("the number of latency_ns", 19, 20, 20, "pair 1, side A")),
        (replace(GOOD, b=replace(TIMES, latency_ns=(100,) * 21)), of_pair("the number of latency_ns", 21, 20, 20, "pair 1, side B")),
        (replace(GOOD, b=replace(TIMES, counted_ns=S + 1)), of_pair("counted_ns", S + 1, 0, S, "pair 1, side B")),
        (blocks(1, end_ns=5999), of_pair("the sum of latency_ns of a block", 1000, 0, 999, "pair 1, side B")),
        (blocks(3, end_ns=14_000), of_pair("the sum of latency_ns of a block", 1000, 0, 0, "pair 1, side A")),
        (replace(GOOD, a=replace(TIMES, latency_ns=(*[90] * 10, *[101] * 10))), of_pair("the sum of latency_ns of a block", 1010, 0, 1000, "pair 1, side A")),
        (blocks(2, start_ns=5999, end_ns=7000), of_pair("blocks, start", 5999, 6000, S)),
        (blocks(3, end_ns=S), ""),
        (blocks(3, end_ns=S + 1), of_pair("blocks, end", S + 1, 15_000, S)),
        (blocks(1, cycle=1), "blocks = ABBA in pair 1: ABBA were requested"),
        (replace(GOOD, idle=((0, 5), (5, S))), ""),
        (replace(GOOD, idle=((0, 5), (4, S))), of_pair("idle, start", 4, 5, S)),
        (replace(GOOD, power=(trace(),)), "power = ina219 in pair 1: no meter was requested"),
    ],
)  # fmt: skip
def test_what_a_pair_can_be(record, words):
    says(record, words, PAIR)


def test_what_another_pair_can_be():
    says(replace(GOOD, blocks=BLOCKS[:2], a=replace(TIMES, latency_ns=(9,) * 10), b=replace(TIMES, latency_ns=(9,) * 10)), "", None)  # fmt: skip
    says(replace(GOOD, power=(trace(),)), "", None)
    longest = replace(GOOD, b=replace(TIMES, after=replace(LATER, t_ns=2 * S)), idle=((0, 2 * S),), power=(trace((0, 2 * S)),))  # fmt: skip
    says(longest, "", None)
    says(replace(longest, idle=((0, 2 * S + 1),)), of_pair("idle, end", 2 * S + 1, 0, 2 * S), None)


def test_the_runs_of_a_block():
    many = replace(PAIR, block_min_runs=10, block_max_runs=9)
    says(GOOD, of_pair("the runs of a block", 10, 9, 9), many)
    says(GOOD, of_pair("the runs of a block", 10, 11, 12), replace(PAIR, block_min_runs=11, block_max_runs=12))
    says(GOOD, "", replace(PAIR, block_min_runs=1, block_max_runs=10))
    says(GOOD, "blocks = ABBA in pair 1: BAAB were requested", replace(PAIR, cycles=("BAAB",)))
    says(GOOD, "blocks = ABBA in pair 1: ABBAABBA were requested", replace(PAIR, cycles=("ABBA", "ABBA")))


def test_no_more_times_than_are_kept_of_a_side():
    kept = replace(GOOD, a=replace(TIMES, latency_ns=(100,) * 15))
    says(kept, "", replace(PAIR, a=replace(SIDE, timed_max_runs=15)))
    says(GOOD, of_pair("the number of latency_ns", 20, 15, 15, "pair 1, side A"), replace(PAIR, a=replace(SIDE, timed_max_runs=15)))  # fmt: skip


def test_the_meters_of_a_pair_are_those_of_its_first_side():
    measured = replace(PAIR, a=replace(SIDE, meters=METER))
    says(replace(GOOD, power=(trace(),)), "", measured)
    says(GOOD, "power = nothing in pair 1: ina219 was requested", measured)
