"""Doubts: each is raised by what it is about, by nothing else, and a clean measurement has none."""

import pytest

from device_agent.record import replace
from device_agent.wire import Core
from pipeline.measure.summary import summarise
from pipeline.measure.validity import Asked, doubts_of, doubts_of_pairs
from tests.support.launched import (
    CALM,
    CLEAN,
    FIXED,
    LATER,
    PAIR,
    blocks,
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


# --- pairs


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"cpu_khz": 2389000}, []),  # 0.46 %
        ({"cpu_khz": 2387000}, ["clocks differ"]),
        ({"cpu_khz": None}, []),
        ({"run_delay_ns": 90_000}, []),
        ({"run_delay_ns": 110_000}, ["contended"]),  # 5.5 % of all four blocks
        ({"run_delay_ns": None, "involuntary_switches": 1}, []),  # 2 in 40
        ({"run_delay_ns": None, "involuntary_switches": 2}, ["contended"]),
    ],
)
def test_blocks_of_pairs(changes, expected):
    assert pair_names([blocks(**changes)] * 4) == expected


@pytest.mark.parametrize(
    ("runtime", "gpu_khz", "expected"),
    [
        ("onnxruntime_cuda", 600_000, ["clocks differ"]),
        ("onnxruntime_tensorrt", 600_000, ["clocks differ"]),
        ("onnxruntime_cuda", 623_000, []),  # 0.3 %
        ("onnxruntime", 600_000, []),  # whatever the GPU does, it does not run this model
    ],
)
def test_the_gpu_counts_where_it_runs_the_model(runtime, gpu_khz, expected):
    provider = {"onnxruntime_cuda": "CUDA", "onnxruntime_tensorrt": "Tensorrt", "onnxruntime": "CPU"}[runtime]
    ran = launch(delegates=(f"{provider}ExecutionProvider",))
    mine = tuple(replace(one, gpu_khz=gpu_khz if one.side == "B" else 624_750) for one in PAIR.blocks)
    pair = replace(PAIR, a=ran, b=ran, blocks=mine)
    assert pair_names([pair], baseline=Asked(runtime=runtime), candidate=Asked(runtime=runtime)) == expected


def test_a_clock_below_zero_is_none():
    """Whatever a board says: a mean of 0 can not be divided by."""
    made = tuple(replace(one, cpu_khz=1 if number % 2 else -1) for number, one in enumerate(PAIR.blocks))
    assert pair_names([replace(PAIR, blocks=made)]) == []


@pytest.mark.parametrize(("hit", "expected"), [(1, []), (2, ["swapped"]), (4, ["swapped"])])
def test_a_model_whose_pages_are_read_again_in_half_of_the_blocks(hit, expected):
    made = tuple(replace(one, major_faults=3 * (number < hit)) for number, one in enumerate(PAIR.blocks))
    assert pair_names([replace(PAIR, blocks=made)]) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((600000, 2400000), (600000, 2400000), []),
        ((600000, 2400000), (2400000, 2400000), ["clock limits changed"]),
        ((None, None), (600000, 2400000), []),
    ],
)
def test_limits_of_a_clock_that_change(before, after, expected):
    hit = launch(
        before=conditions(cores=(Core(3, None, *before),)), after=replace(LATER, cores=(Core(3, None, *after),))
    )
    assert names([CLEAN] * 5 + [hit]) == expected


@pytest.mark.parametrize(
    ("found", "words"), [("b" * 64, "held bbbbbbbbbbbb... and not aaaaaaaaaaaa..."), ("", "was written to meanwhile")]
)
def test_an_agent_that_has_read_another_file(found, words):
    asked = Asked(model_sha256="a" * 64, inputs_sha256="")
    assert pair_names([PAIR], baseline=asked, candidate=asked) == []
    (doubt,) = doubts_of_pairs([PAIR, replace(PAIR, b=launch(model_sha256=found))], asked, asked)
    assert (doubt.what, doubt.invalid) == ("another file", True)
    assert words in doubt.evidence
    assert "the candidate" in doubt.evidence
    (doubt,) = doubts_of_pairs([replace(PAIR, a=launch(inputs_sha256="c" * 64))], asked, asked)
    assert "of the inputs of the baseline" in doubt.evidence


def test_no_pairs_no_doubts():
    assert doubts_of_pairs([]) == ()


def test_a_pair_is_below_its_clock_only_between_its_launches():
    fixed = launch(before=conditions(cores=FIXED), after=replace(LATER, cores=FIXED))
    pair = replace(PAIR, a=fixed, b=fixed)
    slow = replace(pair, blocks=tuple(replace(one, cpu_khz=2300000) for one in pair.blocks))
    assert pair_names([pair]) == []
    assert pair_names([pair, slow]) == ["below its clock"]


def test_a_side_that_throttled_is_enough():
    assert pair_names([PAIR] * 9 + [replace(PAIR, b=launch(after=replace(LATER, cooling_states=1)))]) == ["throttled"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Asked(runtime_version="1", golden=(0.5, 2.0)), []),
        (Asked(runtime_version="1+pi", golden=(0.5, 2.01)), []),  # 0.5 %
        (Asked(golden=(0.5, 2.05)), ["golden differs"]),
        (Asked(golden=(0.5, 2.2), golden_within=0.1), []),  # 9 %
        (Asked(golden=(0.5, 2.3), golden_within=0.1), ["golden differs"]),
        (Asked(golden=(0.5,)), ["golden differs"]),
        (Asked(golden=(0.0, 0.0)), ["golden differs"]),
        (Asked(runtime_version="1.1"), ["another runtime"]),
        (Asked(runtime="onnxruntime"), ["fell back"]),
        (Asked(runtime="ai_edge_litert"), ["not accelerated"]),
    ],
)
def test_what_ran_is_what_was_asked_for(asked, expected):
    assert pair_names([PAIR], candidate=asked) == expected
    assert pair_names([PAIR], baseline=asked) == expected


def test_answers_that_are_no_numbers_differ():
    nothing = launch(golden=(float("nan"), 2.0))
    assert pair_names([replace(PAIR, b=nothing)], candidate=Asked(golden=(0.5, 2.0))) == ["golden differs"]
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
    asked = Asked(golden=(0.5, 2.0))
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
