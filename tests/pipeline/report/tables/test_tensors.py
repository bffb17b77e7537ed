"""Inputs and outputs of a model in the report: by name, whatever their number."""

import msgspec
import pytest

from pipeline import report
from pipeline.commands.convert import _told
from pipeline.records import BoardAccuracy
from pipeline.report.compose import view_of
from pipeline.report.pictures.files import pictures
from pipeline.report.tables.tensors import batch_of
from tests.support.loaded import column, loaded, spec, voice
from tests.support.sample_run import measurement, paired_run, run_of


def run_with(one, **changes):
    return run_of((measurement(),), loaded=one, **changes)


def lines_of(run):
    return [line.cells for line in view_of(run).table("tensors").lines]


def test_each_is_named_with_what_it_comes_from_and_is_for():
    assert lines_of(run_with(voice())) == [
        ("input", "input", "float32", "(any, any); (1, 512) on the board", "rows of (31, 512)", "-"),
        ("input", "sr", "int64", "()", "a constant", "-"),
        ("input", "h", "float32", "(2, any, 64); (2, 1, 64) on the board", "state: zeros, then 'hn' of the step before", "-"),
        ("input", "c", "float32", "(2, any, 64); (2, 1, 64) on the board", "state: zeros, then 'cn' of the step before", "-"),
        ("output", "output", "float32", "(any, 1)", "numbers", "-"),
        ("output", "hn", "float32", "(2, any, 64)", "state: the next 'h'", "-"),
        ("output", "cn", "float32", "(2, any, 64)", "state: the next 'c'", "-"),
    ]  # fmt: skip


def test_rows_that_the_board_does_not_get_are_not_said_to_come():
    """Calibration rows do not go to the board."""
    one = voice()
    data = msgspec.structs.replace(one.data, calibration=one.data.evaluation, evaluation=None)
    cells = lines_of(run_with(msgspec.structs.replace(one, data=data)))
    assert [line[4] for line in cells[:2]] == ["no evaluation rows: zeros"] * 2


def test_what_files_make_of_them():
    one = loaded(
        [spec("image", (None, 8)), spec("ids", (None, 4), "int32")], [spec("scores", (None, 4))], file_format="keras"
    )
    run = run_of(
        (measurement(), measurement(format="tflite-int8"), measurement("compressed", "tflite-int8")), loaded=one
    )
    made = (
        [spec("image", (1, 8), "int8"), spec("ids", (1, 4), "int32")],
        [spec("StatefulPartitionedCall:0", (1, 4), "int8")],
    )
    files = [
        msgspec.structs.replace(each, inputs=tuple(made[0]), outputs=tuple(made[1]))
        if each.format == "tflite-int8"
        else each
        for each in run.converted
    ]
    cells = lines_of(msgspec.structs.replace(run, converted=tuple(files)))
    assert [each[-1] for each in cells] == [
        "tflite-int8: int8",
        "the same",
        "tflite-int8: int8 'StatefulPartitionedCall:0'",
    ]


def test_a_model_that_nothing_could_read_has_no_lines():
    assert lines_of(run_with(loaded([], []))) == []


@pytest.mark.parametrize("renderer", report.RENDERERS)
@pytest.mark.parametrize("count", [10, 300])
def test_a_page_of_a_model_with_many_stays_readable(renderer, count, store):
    inputs = [
        spec(f"past_key_values.{index}.{'k' * 200}", (None, 8, None, 64), fixed=(1, 8, 128, 64))
        for index in range(count)
    ]
    outputs = [spec(f"present.{index}", (None, 8, None, 64)) for index in range(count)]
    state = tuple((one.name, other.name) for one, other in zip(inputs, outputs, strict=True))
    run = run_with(
        loaded([spec("tokens", (1, None), "int64"), *inputs], outputs, [column("tokens", (5, 1), "int64")], state=state)
    )
    table = view_of(run).table("tensors")
    assert len(table.lines) == min(2 * count + 1, 60)
    assert max(len(cell) for line in table.lines for cell in line.cells) < 200
    assert (f"{2 * count + 1 - 60} more are in report.json" in table.note) is (count > 30)
    assert report.renderer(renderer).render(run, store)


def test_a_latency_is_of_one_step_where_rows_are_sequences():
    stepwise, plain = run_with(voice()), run_with(loaded([spec("x", (None, 3))], [spec("y", (None, 1))]))
    for key in ("results", "latency", "method", "tensors"):
        table = view_of(stepwise).table(key)
        text = " ".join((table.note, *(cell for line in table.lines for cell in line.cells)))
        assert "of one step" in text or "one step of a sequence (batch 1)" in text, key
        table = view_of(plain).table(key)
        assert "step of" not in table.note
        assert ("sequences",) not in [line.cells[:1] for line in table.lines]
    judged = view_of(msgspec.structs.replace(paired_run(), loaded=voice())).table("judged")
    assert "the time of one step of a sequence (batch 1) against the baseline" in judged.note
    assert "the time of one inference (batch 1) against the baseline" in view_of(paired_run()).table("judged").note


def test_of_several_outputs_the_worst_is_named():
    run = run_with(voice())
    assert "worst" not in view_of(run).table("conversions").note
    worst = msgspec.structs.replace(run.converted[0].agreement, output="boxes")
    run = msgspec.structs.replace(run, converted=(msgspec.structs.replace(run.converted[0], agreement=worst),))
    table = view_of(run).table("conversions")
    assert table.lines[0].cells[4] == "2.4e-06 (boxes)"
    assert "the errors are of the worst" in table.note
    assert _told(msgspec.structs.replace(worst, top1_agreement_ratio=None)).startswith(
        "largest error 2.4e-06 in the output 'boxes', the worst, error 1.1e-07 (rms)"
    )


def test_the_worst_output_on_the_board_is_named():
    numbers = BoardAccuracy(
        rows=50, accuracy_ratio=None, differs_from_host_ratio=None, answers=None, error_rms=0.02, spread=2.0, output="boxes"
    )  # fmt: skip
    one = msgspec.structs.replace(measurement(), accuracy=numbers)
    (told,) = [each.text for each in view_of(run_of((one,))).findings if "on the host" in each.text]
    assert "by 0.02 (rms), 1.00 % of the answers' spread in the output 'boxes', its worst, and" in told


def test_the_record_in_json_has_them(store):
    text = report.renderer("json").render(run_with(voice()), store)
    assert report.read(text.encode()).loaded.model.state == (("h", "hn"), ("c", "cn"))
    assert [each.name for each in report.read(text.encode()).loaded.model.inputs] == ["input", "sr", "h", "c"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ([spec("x", (None, 8), fixed=(1, 8))], [spec("y", (None, 2))], "one inference (batch 1)"),
        ([spec("x", (None, 8), fixed=(4, 8))], [spec("y", (None, 2))], "one inference (batch 4)"),
        ([spec("x", (4, 8), fixed=(4, 8))], [spec("y", (4, 2))], "one inference (batch 4)"),
        ([spec("x", (1, 8), fixed=(1, 8))], [spec("boxes", (100, 4))], "one inference (batch 1)"),
        ([spec("wave", (15600,), fixed=(15600,))], [spec("y", (15600,))], "one inference"),
        ([spec("rows", (257, 1), fixed=(257, 1))], [spec("y", (1, 2))], "one inference"),
        ([spec("x", (None, 8), fixed=(4, 8)), spec("k", (2, 3), fixed=(2, 3))], [spec("y", (None, 2))], "one inference"),
        ([], [], "one inference"),
    ],
)  # fmt: skip
def test_the_batch_of_an_inference_is_said_where_it_is_known(inputs, outputs, said):
    run = run_with(loaded(inputs, outputs, [column("x", (4, 8))]))
    view = view_of(run)
    assert f"Latency: {said}, the median" in view.table("results").note
    assert ("runs", f"3,000 timed in all, each of {said}") in [line.cells for line in view.table("method").lines]
    assert f"of {said}." in view.table("latency").note
    (picture,) = [each for each in pictures(run) if each.title == "How long does one inference take?"]
    assert picture.caption.startswith(f"Median over launches, of {said};")


def test_an_axis_of_a_state_or_a_constant_is_no_batch():
    assert batch_of(voice()) == 1
    state = loaded(
        [spec("x", (1, 8), fixed=(1, 8)), spec("h", (2, 4), fixed=(2, 4)), spec("k", (3, 2), fixed=(3, 2))],
        [spec("y", (1, 2)), spec("hn", (2, 4))],
        [column("x", (5, 8)), column("k", (3, 2), constant=True)],
        state=(("h", "hn"),),
        sequences=True,
    )
    assert batch_of(state) == 1
