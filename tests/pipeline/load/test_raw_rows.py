"""Integers for quantized inputs: a plan says that they are raw, or they are not taken."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import DataError, PlanError
from pipeline.frameworks import tflite_schema
from pipeline.load import raw_rows
from pipeline.records import Column, TensorSpec
from tests.support.loaded import column
from tests.support.plans import plan_for

INT8 = Path(__file__).parents[2] / "models" / "dense_int8.tflite"
PIXELS = TensorSpec(name="pixels", shape=(1, 4), dtype="uint8")
ASKED = "nothing says whether they are real values"


def checked(dtype, *, raw=False, scaled=True):
    given: Column = column("pixels", (4,), dtype)
    raw_rows.check(
        given, PIXELS, lambda spec: "float32" if scaled else spec.dtype, "data.evaluation", "m.tflite", raw=raw
    )


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "bool"])
def test_integers_for_an_input_that_is_scaled_are_asked_about(dtype):
    """Pixels of 0 to 255 for a scale of 1/255: as real values nearly all would be the largest, and nothing would say so."""
    with pytest.raises(DataError, match=ASKED) as caught:
        checked(dtype)
    assert "raw = true" in caught.value.hint
    assert "uint8" in caught.value.hint


def test_what_is_said_or_means_the_same_is_taken():
    checked("float32")
    checked("uint8", raw=True)
    checked("uint8", scaled=False)
    with pytest.raises(DataError, match=r"data\.raw is true, and the rows of .* are float32, not uint8"):
        checked("float32", raw=True)


@pytest.mark.parametrize(
    ("scale", "zero", "other"), [(0.0, 0, False), (1.0, 0, False), (1.0, 128, True), (1 / 255, 0, True)]
)
def test_which_scales_change_a_number(scale, zero, other):
    assert tflite_schema.scales(scale, zero) is other


def test_raw_has_no_use_where_nothing_is_quantized():
    floats = [TensorSpec(name=name, shape=(1, 4), dtype=kind) for name, kind in (("x", "float32"), ("ids", "int32"))]
    with pytest.raises(
        PlanError, match=r"data\.raw is true, and m\.onnx has no quantized input: its inputs are float32, int32"
    ) as caught:
        raw_rows.check_use(floats, "m.onnx", raw=True)
    assert caught.value.hint == "Leave raw out of [data]."
    raw_rows.check_use(floats, "m.onnx", raw=False)
    raw_rows.check_use([*floats, PIXELS], "m.onnx", raw=True)


@pytest.mark.frameworks
@pytest.mark.parametrize("readable", [True, False])
def test_a_file_with_and_without_its_runtime(empty, monkeypatch, readable):
    """Without one the rows go to the board as they are, which takes integers as the file holds them."""
    if not readable:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    shutil.copy(INT8, empty.folder / "m.tflite")
    shape = tflite_shape()
    np.savez(empty.folder / "integers.npz", x=np.ones((3, *shape), np.int8))
    np.savez(empty.folder / "reals.npz", x=np.ones((3, *shape), np.float32))
    with pytest.raises(DataError, match=ASKED):
        empty.load(plan_for("m.tflite", '[data]\nevaluation = "integers.npz"'))
    for data in ('evaluation = "integers.npz"\nraw = true', 'evaluation = "reals.npz"'):
        assert empty.load(plan_for("m.tflite", f"[data]\n{data}"))[0].data.evaluation.rows == 3


@pytest.mark.frameworks
def test_a_baseline_that_scales_integers(empty):
    shutil.copy(INT8, empty.folder / "m.tflite")
    np.savez(empty.folder / "integers.npz", x=np.ones((3, *tflite_shape()), np.int8))
    plan = plan_for("m.tflite", '[data]\nevaluation = "integers.npz"\nraw = true\n[compare]\nbaseline = "m.tflite"')
    assert empty.load(plan)[0].baseline is not None


def tflite_shape():
    file = tflite_schema.read(INT8.read_bytes(), "m.tflite")
    (graph,) = file.subgraphs
    return graph.tensors[graph.inputs[0]].shape[1:]
