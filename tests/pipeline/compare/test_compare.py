"""Verdicts: three-way, by interval, never green for want of a number."""

from pathlib import Path

import msgspec
import pytest

from pipeline.baseline import baseline_of
from pipeline.compare import check
from pipeline.compare.by_interval import by_interval
from pipeline.errors import PlanError
from pipeline.plan import Plan
from pipeline.plan_tables import CompareTable, LimitsTable, ModelTable, Tables
from pipeline.records import Doubt, NotMeasured, Outcome
from tests.support.compared import ROWS, World, pairs_of, plan


@pytest.fixture
def world(store):
    return World(store)


def test_latency_is_judged_by_pairs(world):
    base = world.measured()
    for slower, noise, outcome in (
        (1.00, 0.002, Outcome.PASS),
        (0.40, 0.002, Outcome.PASS),
        (1.05, 0.002, Outcome.REGRESSED),
        (1.015, 0.002, Outcome.PASS),  # slower, but by less than the limit
        (1.03, 0.002, Outcome.INCONCLUSIVE),  # the limit itself: neither above it nor below it
        (1.02, 0.040, Outcome.INCONCLUSIVE),
    ):
        one = world.measured("compressed", p10=1e-4 * slower)
        found = world.judge(base, one, paired=[pairs_of(one, base, slower, noise)], latency_regression=0.03)
        (verdict,) = found.verdicts
        assert verdict.outcome is found.outcome is outcome, slower
        assert verdict.low <= verdict.change <= verdict.high
        assert verdict.change == pytest.approx(slower - 1, abs=0.02)
        assert verdict.detectable > verdict.margin == 0.03
        assert (verdict.pairs, verdict.seconds) == (10, 20.0)
        (comparison,) = found.comparisons
        assert comparison.latency_ratio == pytest.approx(verdict.change + 1)
        assert comparison.pairs == verdict.pairs


def test_a_limit_that_was_tightened_later_asks_for_more_pairs(world):
    """Ten pairs were enough for 3 %; what they cannot tell of 1 % is no fault of the machine."""
    base, one = world.measured(), world.measured("compressed")
    pairs = pairs_of(one, base, 1.0, noise=0.015)
    assert world.judge(base, one, paired=[pairs], latency_regression=0.03).outcome is Outcome.PASS
    (verdict,) = world.judge(base, one, paired=[pairs], latency_regression=0.01).verdicts
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "edgepress measure" in verdict.why
    twenty = msgspec.structs.replace(pairs, log_ratios=pairs.log_ratios * 2)
    (verdict,) = world.judge(base, one, paired=[twenty], latency_regression=0.005).verdicts
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "edgepress measure" not in verdict.why


@pytest.mark.parametrize(
    ("slower", "margin", "outcome", "why"),
    [
        (1.031, None, Outcome.PASS, "slower by 3.10 % (proven), within the limit of 5.00 %"),
        (1.031, 0.05, Outcome.PASS, "slower by 3.10 % (proven), within the limit of 5.00 %"),
        (1.031, 0.05 / 6, Outcome.REGRESSED, "slower by more than the margin of 0.83 %"),
        (1.061, None, Outcome.REGRESSED, "slower by more than the limit of 5.00 %"),
        (1.0001, None, Outcome.PASS, "slower by less than the limit of 5.00 %, if at all"),
        (0.9, None, Outcome.PASS, "slower by less than the limit of 5.00 %, if at all"),
    ],
)
def test_the_limit_is_the_limit_and_a_margin_is_the_users(world, slower, margin, outcome, why):
    """A proven +3.1 % is no breach of "at most 5 %", unless the plan asks for a stricter rule."""
    base, one = world.measured(), world.measured("compressed")
    pairs = pairs_of(one, base, slower)
    found = world.judge(base, one, paired=[pairs], latency_regression=0.05, latency_margin=margin)
    assert (found.outcome, found.verdicts[0].why) == (outcome, why)
    assert found.verdicts[0].margin == (margin or 0.05)


def test_a_margin_above_the_limit_can_not_be(world):
    kinds = ("tflite-int8",), ("ai_edge_litert",)
    with pytest.raises(PlanError, match="above latency_regression"):
        check(plan(latency_regression=0.03, latency_margin=0.0301), *kinds)
    check(plan(latency_regression=0.03, latency_margin=0.03), *kinds)


@pytest.mark.parametrize(
    ("low", "high", "outcome", "why"),
    [
        (-1.0, 1.0, Outcome.PASS, "keeps the limit"),  # an end on the limit keeps it
        (0.0, 1.0, Outcome.PASS, "keeps the limit"),
        (0.1, 1.0, Outcome.PASS, "more by 0.55 points (proven), within the limit of 1.00 points"),
        (0.9, 1.01, Outcome.INCONCLUSIVE, "told apart"),
        (1.0, 2.0, Outcome.INCONCLUSIVE, "told apart"),
        (1.01, 2.0, Outcome.REGRESSED, "breaks the limit"),
    ],
)
def test_an_interval_keeps_a_limit_or_breaks_it(world, low, high, outcome, why):
    pair = world.measured("compressed"), world.measured()
    change = ((low + high) / 2, low, high)
    verdict = by_interval(*pair, "accuracy_drop_points", (0.9, 0.8), change, 1.0)
    assert verdict.outcome is outcome
    assert why in verdict.why


@pytest.mark.parametrize(
    ("longer", "noise", "withheld", "outcome"),
    [
        (1.0, 0.01, "", Outcome.PASS),
        (1.5, 0.01, "", Outcome.REGRESSED),
        (1.5, 0.01, "tail", None),
        (1.1, 0.5, "", None),
    ],
)
def test_a_tail_is_judged_where_it_can_be_told(world, longer, noise, withheld, outcome):
    doubts = (Doubt(what="contended", evidence="others ran", remedy="Stop them.", withholds=withheld),)
    base, one = world.measured(), world.measured("compressed")
    pairs = pairs_of(one, base, 1.0, tail=(longer, noise), doubts=doubts)
    latency, *tails = world.judge(base, one, paired=[pairs], latency_regression=0.03).verdicts
    assert latency.outcome is Outcome.PASS
    assert [(each.metric, each.outcome) for each in tails] == ([("latency_tail", outcome)] if outcome else [])


@pytest.mark.parametrize("where", ["baseline", "candidate", "pairs"])
def test_an_invalid_pair_gives_no_verdict(world, where):
    bad = (Doubt(what="clocks differ", evidence="A ran at 1 GHz, B at 2", remedy="Fix the clock.", invalid=True),)
    base, one = (
        world.measured(doubts=bad if where == "baseline" else ()),
        world.measured("compressed", doubts=bad if where == "candidate" else ()),
    )
    pairs = pairs_of(one, base, 1.0, doubts=bad if where == "pairs" else ())
    found = world.judge(base, one, paired=[pairs], latency_regression=0.03)
    assert found.outcome is Outcome.INVALID
    assert found.verdicts[0].change is None
    assert "1 GHz" in found.verdicts[0].why


def test_a_limit_that_was_set_after_measuring_has_no_pairs_to_judge_by(world):
    found = world.judge(world.measured(), world.measured("compressed", p10=1e-6), paired=[], latency_regression=0.03)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "edgepress measure" in found.verdicts[0].why


def test_pairs_that_failed_are_never_green(world):
    base, one = world.measured(), world.measured("compressed")
    failed = NotMeasured(
        variant=one.variant, format=one.format, runtime=one.runtime, evidence="no memory", remedy="More."
    )
    found = world.judge(base, one, unpaired=[failed], latency_regression=0.03)
    assert found.outcome is Outcome.INVALID
    assert "no memory" in found.verdicts[0].why


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
    assert found.verdicts[0].subject.label == "tflite-int8@tflite_runtime"
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
    assert found.outcome is Outcome.PASS
    assert found.verdicts[0].why.endswith("(doubted: contended)")


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
