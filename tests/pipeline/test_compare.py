"""Verdicts: three-way, by interval, never green for want of a number."""

import io
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline.compare import baseline_of, check, compare
from pipeline.errors import PlanError
from pipeline.plan import CompareTable, ConvertTable, LimitsTable, MeasureTable, ModelTable, Plan, Tables
from pipeline.records import BoardAccuracy, Data, Doubt, Measured, NotMeasured, Outcome, Rows
from pipeline.store import Store
from tests.pipeline.test_report_sample import measurement, run_of

ROWS = 1000


def plan(formats=(), passes=({"pass": "x"},), **limits):
    tables = Tables(
        model=ModelTable(path="m.keras"),
        compress=passes,
        convert=ConvertTable(formats=formats),
        limits=LimitsTable(**limits),
    )
    return Plan(path=Path("edge.toml"), sha256="0" * 64, tables=tables)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def npy(store, array):
    file = io.BytesIO()
    np.save(file, array)
    return store.put_bytes(file.getvalue(), "npy")


class World:
    """A base of fp32 and candidates beside it, with answers in the store, so that every number can be set by a test."""

    def __init__(self, store):
        self.store = store
        self.labels = np.arange(ROWS) % 10
        y = npy(store, self.labels)
        self.data = Data(evaluation=Rows(x=y, y=y, rows=ROWS, row_shape=(1,)))
        deployment = run_of((measurement(),)).deployment
        self.deployment = msgspec.structs.replace(deployment, evaluation_indices=npy(store, np.arange(ROWS)))

    def measured(
        self,
        variant="original",
        fmt="tflite-fp32",
        *,
        p10=1e-4,
        wrong=(),
        spread=0.001,
        launches=6,
        doubts=(),
        size=1000,
    ):
        answers = self.labels.copy()
        answers[list(wrong)] = (answers[list(wrong)] + 1) % 10
        one = measurement(variant, fmt, doubts=doubts)
        levels = tuple(p10 * (1 + spread * (k - (launches - 1) / 2)) for k in range(launches))
        latency = msgspec.structs.replace(
            one.latency, launch_p10_s=levels, launch_medians_s=levels, launches=launches, median_s=p10
        )
        accuracy = BoardAccuracy(
            rows=ROWS,
            accuracy_ratio=1 - len(wrong) / ROWS,
            differs_from_host_ratio=0.0,
            answers=npy(self.store, answers),
        )
        artifact = msgspec.structs.replace(one.artifact, size_bytes=size)
        return msgspec.structs.replace(one, latency=latency, accuracy=accuracy, artifact=artifact)

    def judge(self, *measurements, failures=(), **limits):
        return compare(
            Measured(measurements=measurements, failures=failures),
            plan(**limits),
            self.data,
            self.deployment,
            self.store,
        )


@pytest.fixture
def world(store):
    return World(store)


@pytest.mark.parametrize(
    ("slower", "spread", "outcome"),
    [
        (1.00, 0.001, Outcome.PASS),
        (0.40, 0.001, Outcome.PASS),
        (1.02, 0.001, Outcome.PASS),
        (1.10, 0.001, Outcome.REGRESSED),
        (1.03, 0.010, Outcome.INCONCLUSIVE),
    ],
)
def test_latency(world, slower, spread, outcome):
    base = world.measured(spread=0)
    found = world.judge(base, world.measured("compressed", p10=1e-4 * slower, spread=spread), latency_regression=0.03)
    assert found.outcome is outcome
    (verdict,) = found.verdicts
    assert verdict.low <= verdict.change <= verdict.high
    assert verdict.change == pytest.approx(slower - 1, abs=0.02)


def test_five_launches_are_inconclusive_however_good_they_look(world):
    found = world.judge(
        world.measured(launches=5), world.measured("compressed", p10=1e-6, launches=5), latency_regression=0.03
    )
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "too few launches" in found.verdicts[0].why


@pytest.mark.parametrize("which", [0, 1])
def test_an_invalid_measurement_on_either_side_gives_no_verdict(world, which):
    bad = Doubt(what="throttled", evidence="it throttled", remedy="Cool it.", invalid=True)
    doubts = [(), ()]
    doubts[which] = (bad,)
    pair = world.measured(doubts=doubts[0]), world.measured("compressed", doubts=doubts[1])
    found = world.judge(*pair, latency_regression=10.0)
    assert found.outcome is Outcome.INVALID
    assert found.verdicts[0].candidate is None
    assert "it throttled" in found.verdicts[0].why


@pytest.mark.parametrize(
    ("wrong", "outcome"),
    [
        (range(0), Outcome.PASS),
        (range(2), Outcome.PASS),
        (range(9), Outcome.INCONCLUSIVE),  # 0.9 points of 1,000 rows: 0.3 to 1.5
        (range(100), Outcome.REGRESSED),
    ],
)
def test_accuracy(world, wrong, outcome):
    found = world.judge(world.measured(), world.measured("compressed", wrong=wrong), accuracy_drop_points=1.0)
    assert found.outcome is outcome
    assert found.verdicts[0].change == pytest.approx(100 * len(wrong) / ROWS)


def test_size(world):
    pair = world.measured(size=1000), world.measured("compressed", size=500)
    assert world.judge(*pair, size_bytes=500).outcome is Outcome.PASS
    assert world.judge(*pair, size_bytes=499).outcome is Outcome.REGRESSED


def test_the_worst_verdict_is_the_outcome(world):
    pair = world.measured(), world.measured("compressed", wrong=range(100))
    assert (
        world.judge(*pair, latency_regression=0.5, accuracy_drop_points=1.0, size_bytes=10**9).outcome
        is Outcome.REGRESSED
    )


def test_applies_to_chooses_format_and_runtime(world):
    three = world.measured(), world.measured("compressed"), world.measured("compressed", "tflite-int8", size=10**6)
    assert world.judge(*three, size_bytes=1000).outcome is Outcome.REGRESSED
    assert world.judge(*three, size_bytes=1000, applies_to=("tflite-fp32",)).outcome is Outcome.PASS
    assert world.judge(*three, size_bytes=1000, applies_to=("tflite-int8@ai_edge_litert",)).outcome is Outcome.REGRESSED


def test_a_limit_that_nothing_was_measured_for_is_never_green(world):
    three = world.measured(), world.measured("compressed"), world.measured("compressed", "tflite-int8", size=10**6)
    found = world.judge(*three, size_bytes=10**9, applies_to=("tflite-int8@tflite_runtime",))
    assert found.outcome is Outcome.INVALID
    assert found.verdicts[0].subject == "tflite-int8@tflite_runtime"
    assert (
        world.judge(world.measured(), size_bytes=10**9).outcome is Outcome.INVALID
    )  # only what it would be compared with


def test_a_size_is_judged_also_where_the_file_is_its_own_baseline(world):
    assert (
        world.judge(world.measured(size=2), passes=(), formats=("tflite-fp32",), size_bytes=1).outcome
        is Outcome.REGRESSED
    )
    assert (
        world.judge(world.measured(size=1), passes=(), formats=("tflite-fp32",), size_bytes=1).outcome is Outcome.PASS
    )


def test_what_was_made_to_compare_with_is_not_judged(world):
    base, original, one = (
        world.measured("baseline", "tflite", size=10**6),
        world.measured(size=10**6),
        world.measured("compressed"),
    )
    assert world.judge(base, original, one, size_bytes=1000).outcome is Outcome.PASS


def test_doubts_are_named_in_the_verdict(world):
    doubt = Doubt(what="contended", evidence="others worked", remedy="Stop them.")
    found = world.judge(world.measured(), world.measured("compressed", doubts=(doubt,)), latency_regression=0.5)
    assert (found.outcome, found.verdicts[0].why) == (Outcome.PASS, "keeps the limit (doubted: contended)")


def test_doubts_about_the_accuracy_leave_the_latency_alone_and_the_other_way_round(world):
    wrong = Doubt(what="NaN", evidence="NaN", remedy="", invalid=True, touches="accuracy")
    slow = Doubt(what="throttled", evidence="hot", remedy="", invalid=True)
    pair = world.measured(), world.measured("compressed", doubts=(wrong,))
    assert world.judge(*pair, latency_regression=0.5).outcome is Outcome.PASS
    assert world.judge(*pair, accuracy_drop_points=50).outcome is Outcome.INVALID
    pair = world.measured(), world.measured("compressed", doubts=(slow,))
    assert world.judge(*pair, accuracy_drop_points=50).outcome is Outcome.PASS
    assert world.judge(*pair, latency_regression=0.5).outcome is Outcome.INVALID


def test_a_file_that_did_not_run_is_never_green(world):
    failure = NotMeasured(
        variant="compressed", format="tflite-int8", runtime="ai_edge_litert", evidence="it crashed", remedy=""
    )
    found = world.judge(world.measured(), world.measured("compressed"), failures=(failure,), size_bytes=10**9)
    assert found.outcome is Outcome.INVALID
    assert "it crashed" in found.verdicts[-1].why


def test_nothing_measured_is_invalid_also_without_limits(world):
    assert world.judge().outcome is Outcome.INVALID
    assert world.judge(world.measured()).outcome is Outcome.PASS


def test_the_baseline_of_the_plan_comes_before_the_uncompressed_model(world):
    base, original, one = world.measured("baseline", "tflite"), world.measured(), world.measured("compressed")
    assert baseline_of(one, (original, base, one)) is base
    assert baseline_of(one, (original, one)) is original
    assert baseline_of(one, (one,)) is None
    other = msgspec.structs.replace(base, runtime="tflite_runtime")
    assert baseline_of(one, (other, one)) is None  # never across runtimes


def test_a_compressed_file_that_runs_as_it_is_is_judged_against_the_file_as_given(world):
    given, one = world.measured("original", "onnx"), world.measured("compressed", "onnx")
    assert baseline_of(one, (one, given)) is given
    assert baseline_of(given, (one, given)) is None


@pytest.mark.parametrize("entry", ["tflite-int4", "tflite-int8@tensorrt", "@ai_edge_litert", ""])
def test_applies_to_what_is_not_measured_is_a_wrong_plan(entry):
    with pytest.raises(PlanError, match="nothing that this plan measures"):
        check(plan(applies_to=(entry,)), ("tflite-int8",), ("ai_edge_litert",))


def test_a_relative_limit_needs_something_to_compare_with():
    alone = Plan(
        path=Path("edge.toml"), sha256="0" * 64,
        tables=Tables(model=ModelTable(path="m.tflite"), limits=LimitsTable(latency_regression=0.03)),
    )  # fmt: skip
    with pytest.raises(PlanError, match="need something to compare with") as caught:
        check(alone, ("tflite",), ("ai_edge_litert",))
    assert "baseline" in caught.value.hint
    tables = msgspec.structs.replace(alone.tables, compare=CompareTable(baseline="old.tflite"))
    check(msgspec.structs.replace(alone, tables=tables), ("tflite",), ("ai_edge_litert",))


def test_limits_that_can_never_be_judged_are_a_wrong_plan():
    without_rows = plan(accuracy_drop_points=1.0)
    with pytest.raises(PlanError, match=r"data\.evaluation is missing"):
        check(without_rows, ("tflite-int8",), ("ai_edge_litert",))
    tables = msgspec.structs.replace(plan(latency_regression=0.1).tables, measure=MeasureTable(launches=5))
    with pytest.raises(PlanError, match="5 launches can not tell"):
        check(msgspec.structs.replace(without_rows, tables=tables), ("tflite-int8",), ("ai_edge_litert",))
