"""Doubts: each is raised by what it is about, by nothing else, and a clean measurement has none."""

import pytest

from device_agent.record import replace
from device_agent.wire import Conditions, Launched, MemoryStep
from pipeline.measure.statistics import summarise
from pipeline.measure.validity import doubts_of

CALM = Conditions(
    t_ns=0, temperature_mc=45000, cpu_khz=2400000, governor="performance", throttle_flags=0, load_average_milli=100,
    cpu_pressure_centi=0, available_bytes=1 << 30,
)  # fmt: skip
CLEAN = Launched(
    seq=1, index=0, runtime_version="1", import_ns=1, load_ns=1, first_ns=1, warmup_ns=(1,), steady=True, latency_ns=(100_000,) * 50,
    memory=(MemoryStep("end", 1, 1, 0),), peak_bytes=1, involuntary_switches=0, run_delay_ns=0, power=(), energy=None,
    outputs_sha256="", before=CALM, after=CALM,
)  # fmt: skip


def launch(**changes):
    return replace(CLEAN, **changes)


def conditions(**changes):
    return replace(CALM, **changes)


def doubts(launches):
    return doubts_of(launches, summarise([each.latency_ns for each in launches]))


def names(launches):
    return [doubt.what for doubt in doubts(launches)]


def test_a_clean_measurement_has_no_doubt():
    assert names([CLEAN] * 6) == []


@pytest.mark.parametrize(
    ("before", "after", "invalid"),
    [
        (0x0, 0x0, False),
        (0x0, 0x4, True),  # throttled now
        (0x1, 0x0, True),  # under-voltage when it began
        (0x50000, 0x50000, False),  # long ago: not ours
        (0x10000, 0x50000, True),  # newly "has occurred"
        (None, None, False),  # a board that does not tell
        (None, 0x50000, False),  # nothing to compare with: it may be long ago
        (None, 0x4, True),
    ],
)
def test_throttling_makes_a_measurement_invalid(before, after, invalid):
    hit = launch(before=conditions(throttle_flags=before), after=conditions(throttle_flags=after))
    found = doubts([CLEAN] * 5 + [hit])
    assert [doubt.what for doubt in found] == (["throttled"] if invalid else [])
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
    assert names([CLEAN] * 5 + [launch(latency_ns=(109_000,) * 50)]) == []
    assert names([CLEAN] * 5 + [launch(latency_ns=(111_000,) * 50)]) == ["launches disagree"]


def test_every_doubt_has_evidence_and_a_remedy():
    worst = launch(
        steady=False, run_delay_ns=10**9, latency_ns=(200_000,) * 50,
        before=conditions(throttle_flags=1), after=conditions(governor="x", cpu_khz=1, throttle_flags=1),
    )  # fmt: skip
    found = doubts([CLEAN, worst])
    assert len(found) == 7
    assert all(doubt.evidence and doubt.remedy.endswith(".") for doubt in found)
