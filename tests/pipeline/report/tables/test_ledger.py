"""The ledger of a chain of passes, and the sensitivity of a model, as every renderer shows them."""

import re

import msgspec
import pytest

from pipeline import report
from pipeline.compare import _steps
from pipeline.records import UNTRAINED, Compared, Compressed, Outcome, Quality, SensitivityPoint, Step, Task
from pipeline.report.compose import view_of
from pipeline.store import Store
from tests.support.sample_run import (
    CONTENDED,
    artifact,
    measurement,
    pass_report,
    run_of,
    small_model,
)

POINTS = tuple(
    SensitivityPoint(part=part, change=change, amount=amount, accuracy_ratio=ratio, agreement_ratio=ratio, error=0.1)
    for part, change, amount, ratio in (
        ("stem", "prune_channels", 0.25, 0.91), ("stem", "prune_channels", 0.5, 0.85), ("head", "prune_channels", 0.25, 0.60),
        ("head", "prune_channels", 0.5, 0.30), ("stem", "quantize", 8, 0.92), ("stem", "quantize", 2, 0.41),
    )
)  # fmt: skip


PRUNED = Step(number=1, name="prune_channels")


def chain(second_latency_s=3.9e-4, **changes):
    """Three passes, of which the second looks and changes nothing."""
    pruned, final = small_model("pruned"), small_model("final")
    passes = (
        pass_report("prune_channels", model=pruned),
        pass_report("sensitivity", model=pruned, sensitivity=POINTS, notes=("stem: left as it was",)),
        pass_report("recover", model=final, container=artifact("packed", 9000, "codebook")),
    )
    measured = (
        measurement(),
        measurement("compressed", median_s=second_latency_s, **changes),
        measurement(PRUNED.variant, median_s=4e-4, accuracy_ratio=None, step=PRUNED),
    )
    compared = Compared(verdicts=(), comparisons=(), outcome=Outcome.PASS, steps=tuple(_steps(measured)))
    return run_of(measured, compressed=Compressed(model=final, passes=passes), compared=compared)


def cells(table, row):
    return dict(zip((column.heading for column in table.columns), table.lines[row].cells, strict=True))


def test_a_line_for_each_pass_and_the_model_before_them():
    table = view_of(chain()).table("ledger")
    latency = "tflite-fp32 on ai_edge_litert"
    assert [line.cells[0] for line in table.lines] == [
        "(the model as given)", "1 prune_channels", "2 sensitivity", "3 recover",
    ]  # fmt: skip
    assert [cells(table, row)[latency] for row in range(4)] == ["1.25 ms", "400 µs", "400 µs", "390 µs"]
    assert cells(table, 0)["parameters"] == "101,770"
    assert cells(table, 1)["MACs"] == "2,120,000"
    assert [cells(table, row)["container"] for row in (0, 3)] == ["-", "8.79 KiB"]


def test_steps_are_in_the_ledger_and_not_among_the_results():
    view = view_of(chain())
    assert [line.cells[1] for line in view.table("results").lines] == ["original tflite-fp32", "compressed tflite-fp32"]


def test_consecutive_steps_are_compared():
    pairs = [(one.subject.variant, one.baseline_subject.variant) for one in chain().compared.steps]
    assert pairs == [("1-prune_channels", "original"), ("compressed", "1-prune_channels")]


@pytest.mark.parametrize(
    ("latency_s", "tone", "words"),
    [
        (2e-4, "better", "recover: made it faster on ai_edge_litert (tflite-fp32): 2.00x faster (2.000x faster)"),
        (8e-4, "worse", "recover: made it SLOWER on ai_edge_litert (tflite-fp32): 2.00x slower (2.000x slower)"),
        (4e-4, "neutral", "recover: this step did not make it faster on ai_edge_litert (tflite-fp32): as fast ("),
    ],
)
def test_what_each_step_bought_is_said(latency_s, tone, words):
    found = [one for one in view_of(chain(latency_s)).findings if one.text.startswith("recover")]
    assert [(one.tone, words in one.text) for one in found] == [(tone, True)]


def test_a_wide_interval_shows_nothing():
    run = chain(4e-4)
    (first, second) = run.compared.steps
    wide = msgspec.structs.replace(second, latency_low=0.6, latency_high=1.5)
    run = msgspec.structs.replace(run, compared=msgspec.structs.replace(run.compared, steps=(first, wide)))
    (found,) = (one for one in view_of(run).findings if one.text.startswith("recover"))
    assert "is not known, because the interval is wider than 10.00 %" in found.text


def test_a_step_that_is_doubted_is_no_good_news():
    found = [one for one in view_of(chain(2e-4, doubts=(CONTENDED,))).findings if one.text.startswith("recover")]
    assert [one.tone for one in found] == ["neutral"]
    assert "2.00x faster ?" in found[0].text


def test_sensitivity_is_a_table_with_the_most_sensitive_part_first():
    table = view_of(chain()).table("sensitivity")
    assert [column.heading for column in table.columns] == [
        "part", "channels pruned: 25.00 %", "channels pruned: 50.00 %", "bits of a weight: 8 bits", "bits of a weight: 2 bits",
    ]  # fmt: skip
    assert [line.cells for line in table.lines] == [
        ("head", "60.00 %", "30.00 %", "-", "-"), ("stem", "91.00 %", "85.00 %", "92.00 %", "41.00 %"),
    ]  # fmt: skip


def test_every_renderer_shows_ledger_sensitivity_and_notes(tmp_path):
    run, store = chain(), Store(tmp_path / ".edgepress")
    page = report.renderer("html").render(run, store)
    markdown = report.renderer("markdown").render(run, store)
    terminal = report.renderer("terminal").render(run, store)
    for text in (page, markdown):
        assert "Ledger of the passes" in text
        assert "stem: left as it was" in text
        assert "Sensitivity" in text
    assert re.search(r"1 prune_channels +31,402", terminal)
    assert page.count('id="sensitivity-') == 4  # a title and a description for each of the two kinds of change


def test_a_training_that_was_not_kept_is_found():
    told = f"of 60 rows not trained on, 90.00 % were right before the training and 10.00 % after it. {UNTRAINED}; a smaller rate"
    run = chain()
    *others, last = run.compressed.passes
    passes = (*others, msgspec.structs.replace(last, notes=("something else", told)))
    run = msgspec.structs.replace(run, compressed=msgspec.structs.replace(run.compressed, passes=passes))
    found = [each for each in view_of(run).findings if UNTRAINED in each.text]
    assert [(each.tone, each.text) for each in found] == [("worse", f"recover: {told}.")]
    assert not [each for each in view_of(chain()).findings if UNTRAINED in each.text]


MAE = Task(kind="regression", metric="mae", title="mean absolute error", higher_is_better=False, ratio=False)


def with_qualities(*tasks):
    """A chain whose model has these tasks, and after each pass a metric of each that is a step larger than the one before it."""

    def of(model, value):
        kept = artifact("kept", format="npz")
        found = (
            Quality(value=value * 10**place, rows=9, statistic=kept, task=each.name) for place, each in enumerate(tasks)
        )
        return msgspec.structs.replace(model, qualities=tuple(found))

    run = chain()
    passes = tuple(
        msgspec.structs.replace(one, model=of(one.model, value))
        for one, value in zip(run.compressed.passes, (1.25, 1.25, 1.125), strict=True)
    )
    loaded = msgspec.structs.replace(
        run.loaded, model=of(run.loaded.model, 1.0), data=msgspec.structs.replace(run.loaded.data, tasks=tasks)
    )
    run = msgspec.structs.replace(
        run, loaded=loaded, compressed=msgspec.structs.replace(run.compressed, passes=passes, model=passes[-1].model)
    )
    table = view_of(run).table("ledger")
    return table.note, [cells(table, row) for row in range(4)]


def test_with_a_task_its_metric_is_that_of_the_ledger():
    note, found = with_qualities(MAE)
    assert [each["mean absolute error"] for each in found] == ["1", "1.25", "1.25", "1.125"]
    assert "accuracy" not in found[0]
    assert "Mean absolute error: of the model on the host" in note


def test_with_several_tasks_each_has_a_column():
    named = [msgspec.structs.replace(MAE, name=name) for name in ("age", "weight")]
    note, found = with_qualities(*named)
    assert [each["age: mean absolute error"] for each in found] == ["1", "1.25", "1.25", "1.125"]
    assert [each["weight: mean absolute error"] for each in found] == ["10", "12.5", "12.5", "11.25"]
    assert "The metrics: of the model on the host" in note
