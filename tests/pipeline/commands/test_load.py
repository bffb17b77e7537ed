"""What `edgepress load` says before anything is made or sent."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.commands import load
from pipeline.plan import read
from tests.support.loaded import column, loaded, spec, voice
from tests.support.onnx_graphs import Build


@pytest.fixture
def lines(tmp_path):
    """What is printed of a record; `extra`: more of the plan, `content`: of the model's file."""

    def say(one, extra="", content=b"\x08\x08", name="m.onnx"):
        (tmp_path / name).write_bytes(content)
        path = tmp_path / "edge.toml"
        path.write_text(f'[model]\npath = "{name}"\n{extra}')
        (tmp_path / "content").write_bytes(content)
        store = SimpleNamespace(path=lambda _: tmp_path / "content")
        return [*load._lines(SimpleNamespace(plan=read(path), loaded=one, store=store))]

    return say


def words(lines, *whats):
    return [text for what, text in lines if what in whats]


def test_one_input_and_one_output_are_said_as_their_rows_are(lines):
    one = loaded(
        [spec("image", (None, 8, 8, 1), fixed=(1, 8, 8, 1))], [spec("scores", (None, 4))], [column("image", (8, 8, 1))]
    )
    said = lines(one)
    assert words(said, "input", "output") == [
        "image: float32 (8, 8, 1), one row at a time",
        "scores: float32 (4,), one row at a time",
    ]
    assert words(said, "evaluation") == ["10 rows of (8, 8, 1)"]
    assert words(said, "model") == ["net: 309,633 parameters, 1.14 MiB"]
    assert words(said, "board") == ["local: .onnx files run in onnxruntime"]
    assert not words(said, "sequences", "note")


def test_a_batch_of_the_plan_is_said(lines):
    one = loaded([spec("image", (None, 8), fixed=(4, 8))], [spec("scores", (None, 4))], [column("image", (4, 8))])
    said = lines(one)
    assert words(said, "input") == ["image: float32 (any, 8), one row at a time; (4, 8) on the board"]
    assert words(said, "output") == ["scores: float32 (any, 4), one row at a time"]
    assert words(said, "batch") == ["one inference takes 4 at once; a latency is of one inference"]


def test_state_and_constants_of_a_voice_detector(lines):
    said = lines(voice(), 'constants = { "sr" = 16000 }\nstate = { "h" = "hn", "c" = "cn" }\n')
    assert words(said, "input") == [
        "input: float32 (any,), one step at a time; (1, 512) on the board",
        "sr: int64 (), a constant of the plan",
        "h: float32 (2, any, 64), state: zeros in the first step of a row, then what 'hn' answered in the step before; (2, 1, 64) on the board",
        "c: float32 (2, any, 64), state: zeros in the first step of a row, then what 'cn' answered in the step before; (2, 1, 64) on the board",
    ]
    assert words(said, "output") == [
        "output: float32 (1,), one step at a time",
        "hn: float32 (2, any, 64), one step at a time, taken by the input 'h' in the next step",
        "cn: float32 (2, any, 64), one step at a time, taken by the input 'c' in the next step",
    ]
    assert "a latency is of one step" in words(said, "sequences")[0]
    assert words(said, "evaluation") == ["10 rows of (31, 512)"]
    assert "opened again" not in words(said, "board")[0]


def test_a_constant_is_known_without_rows(lines):
    said = lines(
        loaded([spec("x", (None, 3)), spec("sr", (), "int64")], [spec("y", (None, 1))]), "constants = { sr = 16000 }\n"
    )
    assert words(said, "input")[1] == "sr: int64 (), a constant of the plan"


def test_rows_that_are_whole_tensors(lines):
    inputs = [spec("wave", (15600,), fixed=(15600,)), spec("pair", (2, 8), fixed=(2, 8)), spec("gain", (), fixed=())]
    whole = spec("one", (1, 4), fixed=(1, 4))
    columns = [column("wave", (15600,)), column("pair", (2, 8)), column("gain", ()), column("one", (1, 4))]
    said = lines(loaded([*inputs, whole], [spec("any", None)], columns))
    assert words(said, "input") == [
        "wave: float32 (15600,), one row at a time",
        "pair: float32 (2, 8), one row at a time",
        "gain: float32 (), one row at a time",
        "one: float32 (1, 4), one row at a time",
    ]
    assert words(said, "output") == ["any: float32 any shape, one row at a time"]
    assert words(said, "evaluation") == ["10 rows of wave (15600,), pair (2, 8), gain (), one (1, 4)"]


def test_state_in_the_file_is_reset_by_opening_it_again(lines):
    one = loaded([spec("x", (1, 3))], [spec("y", (1, 1))], [column("x", (7, 3))], "tflite", sequences=True)
    (board,) = words(lines(one, "sequences = true\n", b"\x1c\0\0\0TFL3", "m.tflite"), "board")
    assert board == (
        "local: .tflite files run in ai_edge_litert, or in tflite_runtime where that cannot be had; "
        "the file is opened again before each row, so that its state ends with the row"
    )


def test_runtimes_and_formats_of_the_plan(lines):
    one = loaded([spec("x", (None, 3), fixed=(1, 3))], [spec("y", (None, 1))], [column("x", (3,))], "keras")
    extra = '[convert]\nformats = ["tflite-int8", "onnx-fp32"]\n[measure]\nruntimes = "all"\n[data]\ncalibration = "c.npz"\n'
    said = lines(one, extra, b"PK", "m.keras")
    assert words(said, "format") == [
        "tflite-int8: inputs and outputs become int8",
        "onnx-fp32: inputs and outputs keep their types; opset 17",
    ]
    assert words(said, "board")[0] == "local: .tflite files run in ai_edge_litert and tflite_runtime"
    assert "onnxruntime_tensorrt" in words(said, "board")[1]


def test_notes_of_the_record_come_last(lines):
    one = loaded([spec("x", (None, 3))], [spec("y", (None, 1))], notes=("By its name, 'hn' looks like a state.",))
    assert lines(one)[-1] == ("note", "By its name, 'hn' looks like a state.")


@pytest.mark.frameworks
def test_the_opset_is_read_from_the_file(lines):
    build = Build(shape=(1, 3, 8, 8))
    proto = build.model(build.relu("x"))
    (said,) = words(lines(loaded([], []), content=proto.SerializeToString()), "format")
    assert "opset" not in said
    del proto.opset_import[:]
    proto.opset_import.add(domain="ai.onnx.ml", version=5)
    proto.opset_import.add(domain="", version=9)
    (said,) = words(
        lines(loaded([], []), '[convert]\nformats = ["onnx-int8"]\n', content=proto.SerializeToString()), "format"
    )
    assert said.endswith("raised from opset 9 to 17")


@pytest.mark.parametrize("content", [b"", b"\x08", b"\x42\xff", b"\x42\x02\x10\xff", b"\xff" * 40])
def test_a_damaged_file_says_no_opset(lines, content):
    (said,) = words(lines(loaded([], []), content=content), "format")
    assert said == "onnx: the file runs as it is"


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a" * 10_000])
def test_names_from_a_file_are_shortened(lines, name):
    """`say` writes out what a terminal would obey."""
    one = loaded([spec(name, (None, 3))], [spec(name, (None, 1))], [column(name, (3,))])
    assert all(len(text) < 400 for _, text in lines(one))


@pytest.mark.parametrize(
    ("extra", "said"), [("", "are real values, and are scaled"), ("raw = true\n", "as the file holds them, by")]
)
def test_how_rows_of_a_quantized_input_are_taken(lines, extra, said):
    content = (Path(__file__).parents[2] / "models" / "dense_int8.tflite").read_bytes()
    one = loaded([spec("keras_tensor_2", (1, 4), "int8")], [spec("output_0", (1, 3), "int8")], file_format="tflite")
    (note,) = [
        each for each in words(lines(one, f"[data]\n{extra}", content, "m.tflite"), "note") if "Rows and" in each
    ]
    assert note.startswith("Rows and constants of 'keras_tensor_2' are ")
    assert said in note
