"""What each format will do with inputs and outputs is said from the records alone."""

import subprocess
import sys

import pytest

from pipeline.convert.outlook import outlook
from pipeline.convert.table import CONVERTERS
from tests.support.loaded import loaded, spec, voice

IMAGE = spec("image", (None, 8, 8, 1), fixed=(1, 8, 8, 1))
TOKENS = spec("tokens", (None, 16), "int32", fixed=(1, 16))
MASK = spec("mask", (None, 16), "bool", fixed=(1, 16))
SCORES = spec("scores", (None, 4))


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ([IMAGE], [SCORES], "inputs and outputs become int8"),
        ([IMAGE, TOKENS], [SCORES], "float inputs and outputs become int8, 'tokens' stays int32"),
        ([TOKENS, MASK], [SCORES], "float outputs become int8, 'tokens' stays int32, 'mask' stays bool"),
        (
            [IMAGE, TOKENS, spec("more", (None, 16), "int32", fixed=(1, 16))], [SCORES],
            "float inputs and outputs become int8, 'tokens' and 'more' stay int32",
        ),
        ([TOKENS], [spec("ids", (None,), "int32")], "'tokens' and 'ids' stay int32"),
        ([spec("x", (None, 3), "float16", fixed=(1, 3))], [SCORES], "inputs and outputs become int8"),
        ([], [], "inputs and outputs become int8 where they are float"),
    ],
)  # fmt: skip
def test_integers_stay_what_they_are_in_an_int8_file(inputs, outputs, said):
    assert outlook(loaded(inputs, outputs, file_format="keras"), ["tflite-int8"]) == [f"tflite-int8: {said}"]


@pytest.mark.parametrize(
    ("name", "source", "opset", "said"),
    [
        ("onnx-int8", "onnx", 9, "raised from opset 9 to 17"),
        ("onnx-int8", "onnx", 12, "raised from opset 12 to 17"),
        ("onnx-int8", "onnx", 13, ""),
        ("onnx-fp32", "onnx", 9, ""),
        ("onnx-fp32", "onnx", None, ""),
        ("onnx-fp32", "onnx", 21, "opset 21, for which the board needs ONNX Runtime 1.19 or later"),
        ("onnx", "onnx", 18, "opset 18, for which the board needs ONNX Runtime 1.16 or later"),
        ("onnx", "onnx", 99, "opset 99, for which the board needs a newer ONNX Runtime than was measured"),
        ("onnx-fp32", "keras", None, "opset 17"),
    ],
)
def test_opsets(name, source, opset, said):
    (sentence,) = outlook(loaded([IMAGE], [SCORES], file_format=source), [name], opset)
    assert ("opset" in sentence) is bool(said)
    assert sentence.endswith(said)


def test_an_open_axis_gets_the_length_that_the_board_runs():
    wide = spec("x", (None, 3, None, None), fixed=(1, 3, 48, 192))
    (kept,) = outlook(loaded([wide], [SCORES]), ["onnx"])
    assert kept == "onnx: the file runs as it is; 'x' (any, 3, any, any) is given (1, 3, 48, 192)"
    (made,) = outlook(loaded([wide], [SCORES], file_format="keras"), ["tflite-fp32"])
    assert made.endswith("'x' (any, 3, any, any) becomes (1, 3, 48, 192)")


@pytest.mark.parametrize("shape", [(None, 3, None, None), None])
def test_a_length_that_nothing_says_is_asked_for(shape):
    (said,) = outlook(loaded([spec("x", shape)], [SCORES]), ["onnx-fp32"])
    assert "nothing says how long the open axes of 'x'" in said
    assert "[model] shape" in said


def test_a_first_axis_alone_is_not_spoken_of():
    for file_format in ("keras", "onnx"):
        (said,) = outlook(loaded([IMAGE], [SCORES], file_format=file_format), ["onnx-fp32"])
        assert "image" not in said


@pytest.mark.parametrize("name", [*CONVERTERS, "tflite", "onnx"])
def test_each_format_has_a_sentence_for_every_kind_of_model(name):
    odd = [spec("", ()), spec("a" * 5000, (15600,)), *(spec(f"t{i}", (4, None), "int64") for i in range(30))]
    for one in (voice(), loaded([], []), loaded(odd, odd, file_format="keras"), loaded(odd, odd)):
        (said,) = outlook(one, [name], 11)
        assert said.startswith(f"{name}: ")
        assert "a" * 200 not in said
    (said,) = outlook(loaded(odd, [], file_format="keras"), ["tflite-int8"])
    assert "'t7' and 22 more stay int64" in said


def test_it_imports_no_framework():
    script = (
        "import sys, pipeline.convert.outlook;"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & set(sys.argv[1:])))"
    )
    heavy = ["tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert", "tf2onnx"]
    done = subprocess.run([sys.executable, "-c", script, *heavy], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
