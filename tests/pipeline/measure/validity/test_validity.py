"""Doubts: each is raised by what it is about, by nothing else, and a clean measurement has none."""

import pytest

from device_agent.record import replace
from device_agent.wire import Core
from pipeline.measure.summary import summarise
from pipeline.measure.validity import Expected, doubts_of
from tests.support.launched import (
    CALM,
    CLEAN,
    FIXED,
    LATER,
    PAIR,
    conditions,
    doubts,
    launch,
    names,
    pair_names,
    share,
)


def test_a_clean_measurement_has_no_doubt():
    assert names([CLEAN] * 6) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0x0, 0x0, []),
        (0x0, 0x2, ["throttled"]),  # now: its clock is capped
        (0x0, 0x4, ["throttled"]),  # it throttles
        (0x0, 0x8, ["throttled"]),  # it is at its soft limit of temperature
        (0x0, 0x80000, ["throttled"]),  # and was
        (0x80000, 0x80000, []),
        (0x1, 0x0, ["under-voltage"]),  # when it began
        (0x50000, 0x50000, []),  # long ago: not ours
        (0x10000, 0x50000, ["throttled"]),  # newly "has occurred"
        (0x40000, 0x50000, ["under-voltage"]),
        (0x0, 0xF000F, ["throttled", "under-voltage"]),
        (None, None, []),  # a board that does not tell
        (None, 0x50000, []),  # nothing to compare with: it may be long ago
        (None, 0x4, ["throttled"]),
    ],
)
def test_throttle_flags_make_a_measurement_invalid(before, after, expected):
    hit = launch(before=conditions(throttle_flags=before), after=conditions(throttle_flags=after))
    found = doubts([CLEAN] * 5 + [hit])
    assert [doubt.what for doubt in found] == expected
    assert all(doubt.invalid for doubt in found)


def test_a_governor_that_changes_makes_it_invalid():
    found = doubts([CLEAN] * 5 + [launch(after=conditions(governor="powersave"))])
    assert [(doubt.what, doubt.invalid) for doubt in found] == [("governor changed", True)]


@pytest.mark.parametrize(("khz", "expected"), [(2390000, []), (1500000, ["clock drifts"]), (None, [])])
def test_a_clock_that_drifts_is_doubted(khz, expected):
    assert names([CLEAN] * 5 + [launch(after=conditions(cpu_khz=khz))]) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"involuntary_switches": 50}, []),  # it waited for nobody: the switches cost nothing
        ({"involuntary_switches": 2, "run_delay_ns": None}, []),
        ({"involuntary_switches": 3, "run_delay_ns": None}, ["contended"]),  # 3 of 50 is above 5 %
        ({"run_delay_ns": 200_000}, []),
        ({"run_delay_ns": 300_000}, ["contended"]),  # 6 % of 5 ms
        ({"run_delay_ns": None}, []),
    ],
)
def test_contention_is_doubted_when_half_of_the_launches_met_it(changes, expected):
    assert names([CLEAN] * 3 + [launch(**changes)] * 3) == expected
    assert names([CLEAN] * 4 + [launch(**changes)] * 2) == []


def test_times_that_never_settled_are_doubted():
    assert names([CLEAN] * 3 + [launch(steady=False)] * 3) == ["never steady"]


def test_five_launches_are_too_few_and_six_are_enough():
    assert names([CLEAN] * 5) == ["few launches"]
    assert names([CLEAN] * 6) == []


def test_launches_that_disagree_are_doubted():
    assert names([CLEAN] * 5 + [launch(latency_ns=(108_999, 109_001) * 25)]) == []
    assert names([CLEAN] * 5 + [launch(latency_ns=(110_999, 111_001) * 25)]) == ["launches disagree"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"busy_us": 190_000}, []),
        ({"busy_us": 210_000, "busiest": "cc1", "busiest_us": 180_000}, ["contended"]),
        ({"busy_us": 900_000, "own_us": 800_000}, []),  # our own work
        ({"busy_us": None, "own_us": 800_000}, []),
        ({"steal_us": 210_000}, ["contended"]),
        ({"cpu_stalled_us": 210_000}, []),  # nobody else is there: our own threads wait for each other
        ({"cpu_stalled_us": 210_000, "busy_us": None}, ["contended"]),
        ({"cpu_stalled_us": 210_000, "busy_us": 60_000}, ["contended"]),
        ({"io_stalled_us": 210_000}, ["contended"]),
        ({"memory_stalled_us": 51_000}, ["short of memory"]),
        ({"memory_stalled_us": 49_000}, []),
        ({"busy_us": 210_000, "t_ns": 100_000_000}, []),  # too short to be told in ticks of 10 ms
    ],
)
def test_who_else_used_the_board(changes, expected):
    found = doubts([CLEAN] * 3 + [share(**changes)] * 3)
    assert [doubt.what for doubt in found] == expected
    assert all(doubt.withholds == "tail" and not doubt.invalid for doubt in found)
    if "busiest" in changes:
        assert "cc1" in found[0].evidence


@pytest.mark.parametrize("step_ns", [9_000_000, -9_000_000, 11_000_000, -11_000_000, 10**18])
def test_a_clock_that_was_set(step_ns):
    hit = launch(after=replace(LATER, wall_offset_ns=step_ns))
    assert names([CLEAN] * 5 + [hit]) == ([] if abs(step_ns) < 10_000_000 else ["clock stepped"])


def test_a_clock_of_today_that_nobody_sets():
    today_ns = 1_780_000_000 * 10**9
    steady = launch(before=replace(CALM, wall_offset_ns=today_ns), after=replace(LATER, wall_offset_ns=today_ns))
    assert names([steady] * 6) == []


@pytest.mark.parametrize(
    ("khz", "cpus", "expected"),
    [
        (2400000, (3,), []),
        (2353000, (3,), []),  # 98 % of it
        (2350000, (3,), ["below its clock"]),
        (2350000, (), ["below its clock"]),
        (1500000, (2,), []),  # a core that nobody used, or whose clock is not fixed
        (None, (3,), []),
    ],
)
def test_a_core_below_the_clock_that_it_was_fixed_to(khz, cpus, expected):
    after = replace(LATER, cores=(FIXED[0], Core(3, khz, 2400000, 2400000)))
    hit = launch(before=conditions(cores=FIXED), after=after, cpus=cpus)
    assert names([CLEAN] * 5 + [hit]) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Expected(runtime_version="1", golden=(0.5, 2.0)), []),
        (Expected(runtime_version="1+pi", golden=(0.5, 2.01)), []),  # 0.5 %
        (Expected(golden=(0.5, 2.05)), ["golden differs"]),
        (Expected(golden=(0.5, 2.2), golden_within=0.1), []),  # 9 %
        (Expected(golden=(0.5, 2.3), golden_within=0.1), ["golden differs"]),
        (Expected(golden=(0.5,)), ["golden differs"]),
        (Expected(golden=(0.0, 0.0)), ["golden differs"]),
        (Expected(runtime_version="1.1"), ["another runtime"]),
        (Expected(runtime="onnxruntime"), ["fell back"]),
        (Expected(runtime="ai_edge_litert"), ["not accelerated"]),
    ],
)
def test_what_ran_is_what_was_asked_for(asked, expected):
    assert pair_names([PAIR], candidate=asked) == expected
    assert pair_names([PAIR], baseline=asked) == expected


def test_answers_that_are_no_numbers_differ():
    nothing = launch(golden=(float("nan"), 2.0))
    assert pair_names([replace(PAIR, b=nothing)], candidate=Expected(golden=(0.5, 2.0))) == ["golden differs"]
    assert pair_names([replace(PAIR, b=nothing)]) == []  # the host knows no better


def test_two_launches_of_one_file_in_two_ways():
    other = launch(delegates=("XNNPACK",), runtime_version="2")
    assert pair_names([PAIR, replace(PAIR, b=other)]) == ["another runtime", "fell back"]
    assert pair_names([replace(PAIR, b=other)] * 2) == []  # the two sides may differ


@pytest.mark.parametrize(
    ("changes", "share"),
    [
        ({"run_delay_ns": 4_500_000}, "90.00 %"),
        ({"run_delay_ns": 9_000_000}, "100.00 %"),  # of two threads on one CPU
        ({"run_delay_ns": 9_000_000, "counted_ns": 10_000_000}, "90.00 %"),  # the inferences alone are 5 ms
        ({"run_delay_ns": 9_000_000, "cpus": (2, 3)}, "90.00 %"),
    ],
)
def test_nobody_waits_for_more_than_all_of_the_time(changes, share):
    (doubt,) = doubts([launch(**changes)] * 6)
    assert f"the model waited for a CPU for {share} of its time" in doubt.evidence


def test_what_happens_more_than_once_an_inference_is_no_share():
    (doubt,) = doubts([launch(run_delay_ns=None, involuntary_switches=75)] * 6)
    assert "it was interrupted 1.5 times an inference" in doubt.evidence


@pytest.mark.parametrize("counter", ["cpu_stalled_us", "memory_stalled_us", "io_stalled_us"])
def test_nobody_is_stalled_for_longer_than_it_was_looked_at(counter):
    """The kernel's counter is read a little after the clock."""
    (doubt,) = doubts([share(**{"busy_us": 100_000, counter: 1_000_900})] * 6)
    assert "100.00 %" in doubt.evidence


@pytest.mark.parametrize("value", [1e300, 1.7976931348623157e308, -1e308])
def test_answers_that_are_far_off_fit_a_line(value):
    asked = Expected(golden=(0.5, 2.0))
    (doubt,) = doubts_of([launch(golden=(value, 2.0))] * 6, summarise([CLEAN.latency_ns] * 6), asked)
    assert doubt.what == "golden differs"
    assert len(doubt.evidence) < 150


@pytest.mark.parametrize("runs", [8, 50])
def test_times_that_are_all_the_same(runs):
    """A clock that moves in steps, or stands still: nothing of it is a number."""
    (doubt,) = (one for one in doubts([CLEAN] * 5 + [launch(latency_ns=(5000,) * runs)]) if one.invalid)
    assert doubt.what == "times all the same"
    assert f"each of {runs} inferences took exactly 5,000 ns, in 1 of 6 launches" in doubt.evidence
    assert "times all the same" not in names([CLEAN] * 5 + [launch(latency_ns=(100_000,) * 7)])


def test_every_doubt_has_evidence_and_a_remedy():
    worst = launch(
        steady=False, run_delay_ns=10**9, latency_ns=(199_999, 200_001) * 25,
        before=conditions(throttle_flags=1), after=conditions(governor="x", cpu_khz=1, throttle_flags=5, wall_offset_ns=10**9),
        in_band=False,
    )  # fmt: skip
    found = doubts([CLEAN, worst])
    assert len(found) == 10
    assert all(doubt.evidence and doubt.remedy.endswith(".") for doubt in found)
