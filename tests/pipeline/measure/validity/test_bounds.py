"""Where a doubt begins, to the last digit; and what a board does not tell, which raises none."""

import pytest
from msgspec import structs

from device_agent.record import replace
from device_agent.wire import Conditions, Core
from pipeline.measure.summary import summarise
from pipeline.measure.validity import RULES, Expected, Observed, doubts_of_pairs
from pipeline.measure.validity.evidence import Side
from tests.support.launched import CALM, CLEAN, FIXED, LATER, PAIR, blocks, conditions, launch, names, pair_names, share


def fires(what, *launches, expected=None, latency=None):
    side = Side(name="this file", launches=launches, expected=expected or Expected())
    return RULES[what](Observed(sides=(side,), latency=latency)) is not None


@pytest.mark.parametrize(
    ("what", "at", "beyond"),
    [
        ("contended", launch(run_delay_ns=250_000), launch(run_delay_ns=250_001)),  # 5 % of 5 ms
        ("contended", launch(run_delay_ns=None, involuntary_switches=1, latency_ns=(1,) * 20), launch(run_delay_ns=None, involuntary_switches=1, latency_ns=(1,) * 19)),
        ("contended", share(steal_us=200_000), share(steal_us=200_001)),
        ("contended", share(busy_us=200_000), share(busy_us=200_001)),
        ("contended", share(cpu_stalled_us=200_000, busy_us=None), share(cpu_stalled_us=200_001, busy_us=None)),
        ("contended", share(cpu_stalled_us=300_000, busy_us=50_000), share(cpu_stalled_us=300_000, busy_us=50_001)),
        ("contended", share(io_stalled_us=200_000), share(io_stalled_us=200_001)),
        ("contended", share(busy_us=100_000, t_ns=199_999_999), share(busy_us=100_000, t_ns=200_000_000)),
        ("short of memory", share(memory_stalled_us=50_000), share(memory_stalled_us=50_001)),
        ("under-voltage", launch(before=conditions(supply_mv=4630)), launch(before=conditions(supply_mv=4629))),
        ("clock stepped", launch(after=replace(LATER, wall_offset_ns=10_000_000)), launch(after=replace(LATER, wall_offset_ns=10_000_001))),
        ("below its clock", launch(before=conditions(cores=(Core(3, 2352000, 2400000, 2400000),))), launch(before=conditions(cores=(Core(3, 2351999, 2400000, 2400000),)))),
        ("clock drifts", launch(after=conditions(cpu_khz=2352000)), launch(after=conditions(cpu_khz=2351999))),
        ("swapped", launch(), launch(major_faults=1)),
        ("swapped", launch(), share(swapped_in_pages=1)),
        ("warmed up", launch(in_band=None), launch(in_band=False)),
    ],
)  # fmt: skip
def test_at_the_bound_nothing_is_doubted_and_beyond_it_is(what, at, beyond):
    assert not fires(what, at)
    assert fires(what, beyond)


@pytest.mark.parametrize(
    ("what", "hit"),
    [
        ("contended", launch(run_delay_ns=10**6)),
        ("short of memory", share(memory_stalled_us=10**6)),
        ("never steady", launch(steady=False)),
        ("swapped", launch(major_faults=1)),
    ],
)
def test_it_takes_half_of_the_launches(what, hit):
    assert not fires(what, *[hit] * 2, *[CLEAN] * 3)
    assert not fires(what, *[hit] * 2, *[CLEAN] * 4)
    assert fires(what, *[hit] * 2, *[CLEAN] * 2)
    assert fires(what, hit, CLEAN)


@pytest.mark.parametrize(
    "what", [name for name in RULES if name != "never steady"]
)  # without launches nothing is measured
def test_nothing_seen_is_no_doubt(what):
    assert not fires(what)


SILENT = Conditions(
    t_ns=0, wall_offset_ns=0, temperature_mc=None, cpu_khz=None, cores=(), gpu_khz=None, gpu_min_khz=None, gpu_max_khz=None, governor=None,
    power_mode=None, throttle_flags=None, throttle_count=None, cooling_states=None, undervoltage=None, supply_mv=None, load_average_milli=None,
    cpu_pressure_centi=None, cpu_stalled_us=None, memory_stalled_us=None, io_stalled_us=None, swapped_in_pages=None, busy_us=None, steal_us=None,
    own_us=None, busiest="", busiest_us=0, available_bytes=None,
)  # fmt: skip


@pytest.mark.parametrize(("before", "after"), [(SILENT, SILENT), (CALM, SILENT), (SILENT, CALM)])
def test_what_a_board_does_not_tell_is_no_doubt(before, after):
    quiet = launch(before=before, after=replace(after, t_ns=10**9), run_delay_ns=None)
    assert names([quiet] * 6) == []
    assert pair_names([replace(PAIR, a=quiet, b=quiet)]) == []


def test_cpu_time_of_our_own_that_is_not_told_is_the_others():
    assert fires("contended", share(busy_us=900_000, own_us=None))
    assert not fires("contended", launch(before=conditions(own_us=800_000), after=replace(LATER, busy_us=100_000)))


def test_counters_that_run_back_count_nothing():
    back = launch(before=conditions(steal_us=900_000, busy_us=900_000, swapped_in_pages=9), after=LATER)
    assert not fires("contended", back)
    assert not fires("swapped", back)


def test_shares_are_of_the_time_between_the_two_looks():
    start = 5 * 10**9
    before = conditions(t_ns=start)
    assert fires("contended", launch(before=before, after=conditions(t_ns=start + 10**9, busy_us=210_000)))
    assert not fires("contended", launch(before=before, after=conditions(t_ns=start + 10**9, busy_us=190_000)))
    assert not fires("contended", launch(before=before, after=conditions(t_ns=start + 10**8, busy_us=90_000)))


def test_no_time_at_all_is_no_division_by_zero():
    (side,) = [Side(name="x", launches=(launch(counted_ns=0, run_delay_ns=1),), expected=Expected())]
    assert "for 100.00 % of its time" in RULES["contended"](Observed(sides=(side,))).evidence
    side = structs.replace(side, launches=(launch(after=conditions(memory_stalled_us=1)),))
    assert "up to 100.00 % of" in RULES["short of memory"](Observed(sides=(side,))).evidence
    side = structs.replace(side, launches=(launch(run_delay_ns=None, latency_ns=(), involuntary_switches=1),))
    assert "interrupted 1 times" in RULES["contended"](Observed(sides=(side,))).evidence
    assert not fires("contended", launch(counted_ns=0, run_delay_ns=0))


def test_nobody_uses_two_cpus_with_one_thread():
    assert not fires("contended", launch(cpus=(), run_delay_ns=200_000))
    assert fires("contended", launch(cpus=(), run_delay_ns=300_000))
    assert not fires("contended", launch(cpus=(1, 2), run_delay_ns=450_000))
    two = replace(PAIR, a=launch(cpus=(1, 2)))
    assert pair_names([replace(two, blocks=blocks(run_delay_ns=110_000).blocks)]) == []


def test_a_pair_of_which_one_block_does_not_tell_is_judged_by_its_switches():
    silent = replace(PAIR.blocks[0], run_delay_ns=None)
    late = tuple(replace(one, run_delay_ns=900_000) for one in PAIR.blocks[1:])
    assert pair_names([replace(PAIR, blocks=(silent, *late))]) == []
    assert pair_names([replace(PAIR, blocks=(replace(silent, involuntary_switches=3), *late))]) == ["contended"]


@pytest.mark.parametrize("khz", [None, 0])
def test_a_block_without_a_clock_is_left_out(khz):
    first = replace(PAIR.blocks[1], cpu_khz=khz)
    assert pair_names([replace(PAIR, blocks=(PAIR.blocks[0], first, *PAIR.blocks[2:]))]) == []


def test_a_clock_of_one_khz_is_a_clock():
    assert pair_names([blocks(cpu_khz=1)]) == ["clocks differ"]
    assert pair_names([blocks(cpu_khz=2410000)]) == []
    assert pair_names([blocks(cpu_khz=2413000)]) == ["clocks differ"]  # faster, by 0.54 %


TWO_FIXED = (Core(2, 1500000, 1500000, 1500000), Core(3, 2400000, 2400000, 2400000))


@pytest.mark.parametrize(
    ("cores", "cpus", "khz", "expected"),
    [
        (TWO_FIXED, (2, 3), 1500000, []),  # of the slower one
        (TWO_FIXED, (), 1500000, []),
        (TWO_FIXED, (3,), 1500000, ["below its clock"]),
        (TWO_FIXED, (2, 3), 1400000, ["below its clock"]),
        (FIXED, (2, 3), 1500000, []),  # one of them is not fixed
        (FIXED, (), 1500000, []),
        (FIXED, (3,), None, []),
        ((), (3,), 1500000, []),
        ((Core(3, 2400000, None, None),), (3,), 1500000, []),
    ],
)
def test_the_clock_that_the_cores_of_a_pair_were_fixed_to(cores, cpus, khz, expected):
    side = launch(before=conditions(cores=cores), after=replace(LATER, cores=cores), cpus=cpus)
    pair = replace(PAIR, a=side, b=side, blocks=tuple(replace(one, cpu_khz=khz) for one in PAIR.blocks))
    assert pair_names([pair]) == expected


@pytest.mark.parametrize(("low", "high"), [(None, 1500000), (600000, None), (None, None)])
def test_a_limit_that_is_told_only_once_has_not_changed(low, high):
    hit = launch(before=conditions(cores=(Core(3, None, low, high),)), after=conditions(cores=(FIXED[0], FIXED[1])))
    assert not fires("clock limits changed", hit)


def test_pairs_meet_a_drift_alike():
    assert pair_names([replace(PAIR, a=launch(after=replace(LATER, cpu_khz=1500000)))]) == []


def test_a_pair_counts_its_side_a_only_for_what_was_around_it():
    assert pair_names([replace(PAIR, b=share(busy_us=900_000))]) == []
    assert pair_names([replace(PAIR, a=share(busy_us=900_000))]) == ["contended"]


def test_another_provider_behind_the_right_one_is_fine():
    ran = launch(delegates=("CPUExecutionProvider", "XnnpackExecutionProvider"))
    assert doubts_of_pairs([replace(PAIR, a=ran)], Expected(runtime="onnxruntime")) == ()
    assert not fires(
        "not accelerated", launch(delegates=("XNNPACK",)), CLEAN, expected=Expected(runtime="tflite_runtime")
    )
    assert fires("not accelerated", CLEAN, expected=Expected(runtime="tflite_runtime"))


def test_as_far_from_the_right_answers_as_is_allowed():
    expected = Expected(golden=(1.0,), golden_within=0.25)
    assert not fires("golden differs", launch(golden=(1.25,)), expected=expected)
    assert fires("golden differs", launch(golden=(1.26,)), expected=expected)


@pytest.mark.parametrize(("high", "expected"), [(11.0, False), (11.001, True)])
def test_an_interval_of_a_tenth(high, expected):
    latency = structs.replace(summarise([CLEAN.latency_ns] * 6), median_s=10.0, low_s=10.0, high_s=high)
    assert fires("launches disagree", *[CLEAN] * 6, latency=latency) is expected


def test_flags_that_were_there_before_are_told_with_those_that_came():
    side = Side(name="x", launches=(launch(after=conditions(throttle_flags=0x2)), launch(after=conditions(throttle_flags=0x4))), expected=Expected())  # fmt: skip
    assert RULES["throttled"](Observed(sides=(side,))).evidence.endswith("in 2 of 2 launches (flags 0x4)")
