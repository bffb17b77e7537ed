"""More slips in a plan: each is told as what it is, with what to write instead."""

import os

import pytest

from pipeline import compress, spelling, state
from pipeline.deploy import runtimes
from pipeline.errors import PlanError
from pipeline.plan import check_file
from tests.support.commands import edgepress
from tests.support.plans import MODEL, read, refused


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ('[measure]\ntimed_seconds = "300 ms"', "expected `float`, got `str`", "Give a number of seconds, without quotes"),
        ('[host]\nminutes = "2 h"', "expected `float`, got `str`", "Give a number of minutes, without quotes"),
        ('[measure]\nthreads = "2"', "got `str`", "Give a number, without quotes"),
        ("[measure]\ncpus = 0", "got `int`", "write it in brackets, [0, 1]"),
        ('[measure]\ncpus = "0-3"', "got `str`", "write it in brackets, [0, 1]"),
        ("[board]\nruntimes = { onnxruntime = 1.20 }", "expected `str`, got `float`", "Write it in quotes."),
        ("[board]\nname = true", "expected `str`, got `bool`", "Write it in quotes."),
        ('[board]\nruntimes = "1.2"', "board.runtimes: expected `object`, got `str`", 'write it in braces, { "name" = ... }'),
        ("[data]\nseed = 1", "unknown key `seed`", "write it above the first [table]"),
        ('[task]\nhead = "yol"', "task.head: Invalid enum value 'yol'", "Did you mean yolo? It is one of ssd, yolo, anchors, boxes."),
        ('[task]\noutputs = { box = "y" }', "task.outputs: Invalid enum value 'box' for a name", "It is one of boxes, classes, scores, count."),
        ('[task]\nfirst_class = "list"', "task.first_class: Invalid enum value", "It is one of listed, or a number."),
        ('[measure]\nanswers = "half"', "measure.answers: Invalid enum value 'half'", "It is one of whole, float16."),
        ("[limits]\nsize_bytes = 200.5", "limits.size_bytes: expected `int`, got `float`", ""),
    ],
)  # fmt: skip
def test_what_to_write_instead(tmp_path, text, says, hint):
    refused(tmp_path, f"{MODEL}{text}\n", says, hint)


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ('constants = { "sr" = "16k" }', "model.constants.sr: expected", "Give a number, or lists in lists"),
        ('constants = { "a" = 1, "sr" = { b = 1 } }', "model.constants.sr: expected", 'constants = { "sr" = 16000 }'),
        ('constants = { "" = 1 }', "model.constants: expected `str` of length >= 1 for a name in it", ""),
        ('shape = { "a" = [1], "x" = [1, 0] }', "model.shape.x[1]: expected `int` >= 1", "each of them 1 or more"),
        ('shape = { "serving:0" = 3 }', 'model.shape."serving:0": expected `array`', 'shape = { "x" = [1, 3, 48, 192] }'),
        ("shape = [1, 3]", "model.shape: expected `object`", 'shape = { "x" = '),
        ('state = ["h", "hn"]', "model.state: expected `object`, got `array`", 'state = { "h" = "hn" }'),
        ("constants = 4", "model.constants: expected `object`, got `int`", 'constants = { "sr" = 16000 }'),
        ('state = "h"', "model.state: expected `object`, got `str`", 'state = { "h" = "hn" }'),
        ('state = { "h" = 1 }', "model.state.h: expected `str`, got `int`", 'state = { "h" = "hn" }'),
        ('[board]\nruntimes = { tflite_runtime = "2", onnxruntime = 3 }', "board.runtimes.onnxruntime: ", "in quotes"),
    ],
)  # fmt: skip
def test_an_entry_of_a_table_is_named(tmp_path, text, says, hint):
    refused(tmp_path, f"{MODEL}{text}\n", says, hint)


def test_a_whole_number_of_bytes_may_be_written_with_an_exponent(tmp_path):
    assert read(tmp_path, f"{MODEL}[limits]\nsize_bytes = 2e5\n").tables.limits.size_bytes == 200_000


def test_a_part_of_one_name_alone_is_meant():
    assert spelling.did_you_mean("litert", ["tflite_runtime", "ai_edge_litert"]) == "Did you mean ai_edge_litert? "
    assert spelling.did_you_mean("int8", ["tflite-int8", "onnx-int8", "onnx-fp32"]) == "Did you mean onnx-int8? "


@pytest.mark.parametrize(
    ("wanted", "hint"), [('["litert"]', "Did you mean ai_edge_litert?"), ('"All"', 'Write "all" for every runtime')]
)
def test_runtimes_of_nearly_that_name(tmp_path, wanted, hint):
    with pytest.raises(PlanError) as caught:
        runtimes.check(read(tmp_path, f"{MODEL}[measure]\nruntimes = {wanted}\n"))
    assert caught.value.hint.startswith(hint)
    assert "sleep" not in caught.value.hint
    assert '"All"' not in caught.value.hint


@pytest.mark.parametrize(
    ("model", "table", "says"),
    [
        ("m.tflite", 'pass = "prune_channels"', "there are no passes for tflite models"),
        ("m.tflite", 'name = "prune_channels"', "there are no passes for tflite models"),
        ("m.keras", 'pass = ["prune_channels"]', "the name of a pass is a string"),
        ("m.keras", "ratio = 0.5", "missing key `pass`"),
    ],
)
def test_passes_that_are_none(tmp_path, model, table, says):
    with pytest.raises(PlanError, match=says) as caught:
        compress.settings_of(read(tmp_path, f'[model]\npath = "{model}"\n[[compress]]\n{table}\n'))
    assert "keras and onnx models" in caught.value.hint or "Known passes: prune_channels" in caught.value.hint


def test_files_and_folders_of_nearly_that_name(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"")
    with pytest.raises(PlanError, match="there is no file") as caught:
        check_file(tmp_path / "Model.tflite", "model.path")
    assert caught.value.hint.startswith("Did you mean model.tflite? ")
    for given in (tmp_path / "other.onnx", tmp_path / "nowhere" / "model.tflite"):
        with pytest.raises(PlanError) as caught:
            check_file(given, "model.path")
        assert "Did you mean" not in caught.value.hint
    with pytest.raises(PlanError) as caught:
        check_file(tmp_path, "model.path", "It is a SavedModel.")
    assert caught.value.hint == "Give the file itself. It is a SavedModel."
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(PlanError) as caught:
        check_file(tmp_path, "model.path", "It is a SavedModel.")
    assert caught.value.hint == "It is a SavedModel."


# --- paths


ODD = os.fsdecode(b"caf\xe9")


def test_a_path_that_no_record_can_hold(tmp_path):
    """A folder that was named in latin-1."""
    odd = tmp_path / ODD
    odd.mkdir()
    with pytest.raises(PlanError, match="bytes that are not UTF-8"):
        read(odd, MODEL)
    for root in (lambda: state.folder_of(odd, None), lambda: state.folder_of(tmp_path, odd / "state")):
        with pytest.raises(PlanError, match="bytes that are not UTF-8"):
            root()
    (tmp_path / "link.keras").symlink_to(odd / "m.keras")
    with pytest.raises(PlanError, match="bytes that are not UTF-8"):
        read(tmp_path, MODEL).file("link.keras")
    said = edgepress("load", odd / "edge.toml")
    assert said.returncode == 2
    assert "caf\\udce9" in said.stderr
    assert "Traceback" not in said.stderr
    assert [each.name for each in odd.iterdir()] == ["edge.toml"]


@pytest.mark.parametrize("option", ["--out", "--state"])
def test_a_variable_that_was_not_set(tmp_path, option):
    """`-o "$OUT"` is not the folder that one happens to be in."""
    read(tmp_path, MODEL)
    said = edgepress("run", "edge.toml", option, "", cwd=tmp_path)
    assert said.returncode == 2
    assert "it is empty" in said.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["edge.toml"]
