"""Which files a plan asks for, and that every converter has what a converter has."""

import importlib.util

import msgspec
import pytest

from pipeline import convert, frameworks
from pipeline.convert.table import CONVERTERS, load_converter
from pipeline.errors import PlanError
from pipeline.plan_tables import CompareTable
from pipeline.records import Compressed, Data, Loaded, file_of
from tests.support.conversions import model_of
from tests.support.sample_run import pass_report
from tests.support.tiny_model import FORMATS


def plan_with(project, path, *formats, calibration=True, more=""):
    (project.folder / path).write_bytes(b"x")
    listed = ", ".join(f'"{name}"' for name in formats)
    rows = '[data]\ncalibration = "c.npz"\n' if calibration else ""
    return project.plan(f'[model]\npath = "{path}"\n{rows}[convert]\nformats = [{listed}]\n{more}')


@pytest.mark.parametrize(
    ("path", "formats", "calibration", "message", "hint"),
    [
        ("m.keras", ["int8"], True, "there is no format 'int8'", "tflite-int8"),
        (
            "m.onnx",
            ["tflite-int8"],
            True,
            "'tflite-int8' cannot be made from m.onnx",
            "Possible from it: onnx-fp32, onnx-int8",
        ),
        ("m.tflite", ["tflite-int8"], True, "cannot be made from m.tflite", "Leave formats out: it runs as it is"),
        ("m.keras", ["tflite-int8"], False, "data.calibration is missing", "calibration = "),
        ("m.keras", [], True, "a Keras model cannot run on a board as it is", 'formats = ["tflite-int8"]'),
    ],
)
def test_impossible_plans(empty, path, formats, calibration, message, hint):
    with pytest.raises(PlanError, match=message) as caught:
        convert.check(plan_with(empty, path, *formats, calibration=calibration))
    assert hint in caught.value.hint


def test_a_missing_extra(empty, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PlanError, match="making onnx-fp32 needs the extra 'onnx'") as caught:
        convert.check(plan_with(empty, "m.onnx", "onnx-fp32"))
    assert caught.value.hint == "pip install 'edgepress[onnx]'"


@pytest.mark.parametrize(
    ("source", "formats", "passes", "baseline", "expected"),
    [
        ("keras", ["tflite-int8"], 1, None, ["compressed tflite-int8", "original tflite-fp32", "original tflite-int8"]),
        ("keras", ["tflite-int8"], 0, None, ["original tflite-int8", "original tflite-fp32"]),
        ("keras", ["tflite-fp32", "tflite-int8"], 0, None, ["original tflite-fp32", "original tflite-int8"]),
        (
            "keras", FORMATS, 1, "onnx",
            [*(f"compressed {name}" for name in FORMATS), "original tflite-fp32", "original onnx-fp32",
             "original tflite-int8", "original onnx-int8", "baseline onnx"],
        ),
        ("onnx", ["onnx-int8"], 0, None, ["original onnx-int8", "original onnx-fp32"]),
        ("tflite", [], 0, "tflite", ["original tflite", "baseline tflite"]),
    ],
)  # fmt: skip
def test_which_files_are_made(empty, source, formats, passes, baseline, expected):
    loaded = Loaded(model=model_of(source), data=Data(), baseline=model_of(baseline).artifact if baseline else None)
    compressed = Compressed(
        model=model_of(source, "1" if passes else "0"), passes=(pass_report(model=model_of(source, "1")),) * passes
    )
    files = convert.wanted(loaded, compressed, plan_with(empty, "m.keras", *formats))
    assert [f"{file.variant} {file.format}" for file in files] == expected
    for file in files:
        assert file.model.artifact.sha256[0] == ("1" if file.variant == "compressed" else "0")


NEW, OLD = "m.tflite (candidate)", "released.tflite (baseline)"


@pytest.mark.parametrize(
    ("source", "formats", "passes", "baseline", "expected"),
    [
        ("tflite", [], 0, "released.tflite", [NEW, OLD]),
        ("tflite", [], 0, None, ["m.tflite"]),
        ("onnx", [], 1, None, ["compressed onnx", "original onnx"]),
        ("onnx", [], 1, "released.onnx", ["compressed onnx (candidate)", "original onnx", "released.onnx (baseline)"]),
        ("keras", ["tflite-int8"], 0, "released.tflite", ["m tflite-int8 (candidate)", "m tflite-fp32", OLD]),
        ("keras", ["tflite-fp32"], 0, "released.tflite", ["m tflite-fp32 (candidate)", OLD]),
        (
            "keras", ["tflite-int8"], 1, "released.tflite",
            ["compressed tflite-int8 (candidate)", "original tflite-fp32", "original tflite-int8", OLD],
        ),
        ("keras", ["tflite-int8"], 0, None, ["original tflite-int8", "original tflite-fp32"]),
    ],
)  # fmt: skip
def test_files_that_were_given_are_called_by_their_names(empty, source, formats, passes, baseline, expected):
    artifact = model_of(baseline.rpartition(".")[2]).artifact if baseline else None
    loaded = Loaded(model=model_of(source), data=Data(), baseline=artifact)
    compressed = Compressed(
        model=model_of(source, "1" if passes else "0"), passes=(pass_report(model=model_of(source, "1")),) * passes
    )
    path = plan_with(empty, f"m.{source}", *formats)
    tables = msgspec.structs.replace(path.tables, compare=CompareTable(baseline=baseline))
    files = convert.wanted(loaded, compressed, msgspec.structs.replace(path, tables=tables))
    assert [file_of(file.variant, file.format, file.name, file.role) for file in files] == expected


@pytest.mark.parametrize("name", CONVERTERS)
def test_every_converter_has_what_a_converter_has(name):
    converter = load_converter(name)
    assert converter.FILE in ("tflite", "onnx")
    assert converter.REFERENCE in CONVERTERS
    assert load_converter(converter.REFERENCE).REFERENCE == converter.REFERENCE
    assert set(converter.EXTRAS) <= set(frameworks.EXTRAS)
    assert set(converter.SOURCES) <= {"keras", "onnx", "saved_model"}
    assert isinstance(converter.CALIBRATES, bool)
    assert callable(converter.convert)
