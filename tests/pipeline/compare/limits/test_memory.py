"""Verdicts on memory: the interval has the level that it claims, and three answers."""

from itertools import combinations
from math import comb

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent.record import replace
from device_agent.wire import MemoryStep
from pipeline.compare import check
from pipeline.compare.by_interval import ALPHA, LAUNCHES, _cut, shift
from pipeline.compare.case import Case
from pipeline.compare.limits import memory as memory_limit
from pipeline.errors import PlanError
from pipeline.measure.memory import job_peak_of, memory_of
from pipeline.plan import Plan
from pipeline.plan_tables import CompareTable, LimitsTable, MeasureTable, ModelTable, Tables
from pipeline.records import Measured, Memory, Outcome
from pipeline.report.tables import memory as memory_table
from pipeline.report.trust import Trust
from tests.support.launched import CLEAN
from tests.support.sample_run import measurement, run_of

LIMIT = 128 << 10
NOISE = (0, 4096, 12288, 8192, 20480)


def of(growth, peak=None):
    memory = Memory(
        steps=(), peak_bytes=None, model_anonymous_bytes=None, launch_growth_bytes=tuple(growth),
        launch_peak_bytes=tuple(growth if peak is None else peak),
    )  # fmt: skip
    return measurement(memory=memory)


def raised(by):
    return tuple(value + by for value in NOISE)


def verdicts(candidate, baseline, limit=LIMIT):
    limits = LimitsTable(memory_regression_bytes=limit)
    measured = Measured(measurements=())
    return memory_limit.judge(Case(candidate=candidate, baseline=baseline, measured=measured, limits=limits))


def outcomes(candidate, baseline, limit=LIMIT):
    return [verdict.outcome for verdict in verdicts(candidate, baseline, limit)]


# --- the interval


@pytest.mark.parametrize(("n", "m"), [(5, 5), (6, 6), (5, 7), (8, 8)])
def test_the_ends_are_wrong_at_most_as_often_as_said(n, m):
    """By counting every order of n + m values: those in which the true shift, 0, lies outside of one end."""
    wrong = 0
    values = np.arange(n + m)
    for chosen in combinations(range(n + m), n):
        _, low, _ = shift(values[list(chosen)], np.delete(values, chosen))
        wrong += low > 0
    assert 0 < wrong / comb(n + m, n) <= ALPHA


@pytest.mark.parametrize(
    ("n", "m", "critical"), [(5, 5, 1), (5, 6, 2), (5, 8, 4), (6, 6, 3), (8, 8, 9), (10, 10, 19), (20, 20, 114)]
)
def test_the_cut_is_the_printed_critical_value(n, m, critical):
    """Of the Mann-Whitney U at one-sided 1 %, as in any book of tables."""
    assert _cut(n, m) == critical


@given(
    st.lists(st.integers(0, 10**9), min_size=5, max_size=60), st.lists(st.integers(0, 10**9), min_size=5, max_size=60)
)
def test_an_interval_holds_its_middle(one, other):
    middle, low, high = shift(one, other)
    assert low <= middle <= high
    back = shift(other, one)
    assert (-back[0], -back[2], -back[1]) == (middle, low, high)


# --- the verdict


def test_256_kb_more_are_found_with_five_launches_and_equal_ones_pass():
    baseline = of(NOISE)
    assert outcomes(of(raised(256_000)), baseline) == [Outcome.REGRESSED] * 2
    assert outcomes(of(NOISE[::-1]), baseline) == [Outcome.PASS] * 2
    assert outcomes(of(raised(LIMIT)), baseline) == [Outcome.INCONCLUSIVE] * 2
    assert outcomes(of(raised(-(10**6))), baseline) == [Outcome.PASS] * 2


def test_growth_and_peak_are_judged_apart():
    growth, peak = verdicts(of(NOISE, raised(10**6)), of(NOISE))
    assert (growth.metric, growth.outcome) == ("memory_growth_bytes", Outcome.PASS)
    assert (peak.metric, peak.outcome) == ("memory_peak_bytes", Outcome.REGRESSED)
    assert (peak.baseline, peak.candidate, peak.change) == (8192, 8192 + 10**6, 10**6)


@pytest.mark.parametrize("candidate", [of(NOISE[:4]), of(())])
def test_too_few_launches_or_a_silent_kernel_are_no_pass(candidate):
    assert outcomes(candidate, of(NOISE)) == [Outcome.INVALID] * 2
    assert outcomes(of(NOISE), None) == [Outcome.INVALID] * 2


def test_a_plan_with_too_few_launches_is_refused():
    def plan(launches):
        tables = Tables(
            model=ModelTable(path="m.tflite"), compare=CompareTable(baseline="b.tflite"),
            limits=LimitsTable(memory_regression_bytes=1), measure=MeasureTable(launches=launches),
        )  # fmt: skip
        return Plan(path="edge.toml", sha256="0" * 64, tables=tables)

    check(plan(LAUNCHES), ("tflite",), ("sleep",))
    with pytest.raises(PlanError, match="memory_regression_bytes"):
        check(plan(LAUNCHES - 1), ("tflite",), ("sleep",))
    without = msgspec.structs.replace(plan(6).tables, compare=CompareTable())
    with pytest.raises(PlanError, match="something to compare with"):
        check(msgspec.structs.replace(plan(6), tables=without), ("tflite",), ("sleep",))


# --- from what the agent sent


def launched(base, end, peak=None, available=(None, None)):
    return replace(
        CLEAN,
        memory=(
            MemoryStep("python", 1, 0, 0, None, None),
            MemoryStep("runtime_imported", 1, base, 0, None, available[0]),
            MemoryStep("end", 1, end, 0, 7, available[1]),
        ),
        peak_bytes=peak,
    )


def test_each_launch_is_one_value():
    memory = memory_of([launched(10, 30, 100), launched(10, 50, 300), launched(20, 50, 200)], "onnxruntime")
    assert memory.launch_growth_bytes == (20, 40, 30)
    assert memory.launch_peak_bytes == (100, 300, 200)
    assert (memory.model_anonymous_bytes, memory.peak_bytes) == (30, 200)
    assert memory.steps[-1].private_dirty_bytes == 7
    assert memory.gpu_shared_bytes is None


def test_rows_that_were_made_ready_are_not_the_models():
    base, end = launched(10, 100).memory[1:]
    steps = [replace(base, step=step, anonymous_bytes=size) for step, size in (("allocated", 30), ("inputs_ready", 70))]
    memory = memory_of([replace(CLEAN, memory=(base, *steps, end))], "onnxruntime")
    assert memory.launch_growth_bytes == (100 - 10 - (70 - 30),)


def test_a_launch_that_did_not_tell_leaves_no_value_for_any():
    memory = memory_of([launched(10, 30, 100), launched(10, None, None)], "onnxruntime")
    assert (memory.launch_growth_bytes, memory.launch_peak_bytes, memory.model_anonymous_bytes) == ((), (), None)


def test_memory_of_a_gpu_is_what_the_board_has_less():
    launches = [launched(1, 1, 1, (1000, 400)), launched(1, 1, 1, (1000, 500)), launched(1, 1, 1, (1000, 1100))]
    assert memory_of(launches, "onnxruntime_cuda").gpu_shared_bytes == 500
    assert memory_of(launches, "onnxruntime").gpu_shared_bytes is None


def test_the_peak_of_a_job_is_the_highest_that_any_launch_saw():
    assert job_peak_of([replace(CLEAN, job_peak_bytes=peak) for peak in (5, None, 9)]) == 9
    assert job_peak_of([CLEAN]) is None


def test_the_report_says_whose_the_peak_of_a_job_is():
    run = run_of((measurement(),))
    silent, told = run.measured, msgspec.structs.replace(run.measured, job_peak_bytes=99 << 20)
    runs = [msgspec.structs.replace(run, measured=each) for each in (silent, told)]
    notes = [memory_table.table(each, Trust(each)).note for each in runs]
    assert "one job" not in notes[0]
    assert "as one job: at most 99.0 MiB, with the page cache" in notes[1]
