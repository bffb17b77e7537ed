"""Loading models: what cannot be used is refused in one sentence, before anything else happens."""

import importlib
import importlib.util
import inspect
import re
import struct

import numpy as np
import pytest

from pipeline import frameworks, load
from pipeline.errors import DataError, ModelError, PlanError, StageError
from pipeline.load import answers, onnx_model, tflite_model
from pipeline.load.table import LOADERS
from pipeline.records import Artifact, Column, Data, Model, Rows, TensorSpec
from tests.support.plans import plan_for

TFLITE = struct.pack("<I", 16) + b"TFL3" + bytes(24)
ARTIFACT = Artifact(sha256="0" * 64, format="keras", size_bytes=1)
ONNX = b"\x08\x08" + b"\x3a\x03abc"  # ir_version 8, a graph of three bytes


@pytest.fixture
def base_installation(monkeypatch):
    """As if no extra were installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


# --- what a plan names


def test_a_missing_file(empty):
    with pytest.raises(PlanError, match=r"model\.path: there is no file .*gone\.keras") as caught:
        empty.load(plan_for("gone.keras"))
    assert caught.value.exit_code == 2


def test_a_saved_model_folder(empty):
    (empty.folder / "saved").mkdir()
    with pytest.raises(PlanError, match="is a folder") as caught:
        empty.load(plan_for("saved"))
    assert "model.save('model.keras')" in caught.value.hint


def test_an_unknown_suffix(empty):
    (empty.folder / "model.pt").write_bytes(b"x")
    with pytest.raises(PlanError, match=r"model\.pt ends in '\.pt'") as caught:
        empty.load(plan_for("model.pt"))
    assert ".onnx" in caught.value.hint


def test_a_keras_baseline(empty):
    (empty.folder / "m.tflite").write_bytes(TFLITE)
    (empty.folder / "b.keras").write_bytes(b"PK\x03\x04")
    with pytest.raises(PlanError, match=r"compare\.baseline: b\.keras is a Keras model"):
        empty.load(plan_for("m.tflite", '[compare]\nbaseline = "b.keras"'))


@pytest.mark.parametrize("name", LOADERS.values())
def test_every_loader_has_what_a_loader_has(name):
    module = importlib.import_module(name)
    assert module.FORMAT in frameworks.RUNTIME_EXTRA
    assert callable(module.check)
    assert callable(module.readable)
    assert module.read.__annotations__["argument"] is load.Request
    assert list(inspect.signature(module.read).parameters) == ["argument", "tell"]


# --- without the extras


@pytest.mark.parametrize(("name", "content"), [("m.tflite", TFLITE), ("m.onnx", ONNX)])
def test_a_base_installation_carries_deployable_files_unread(empty, base_installation, name, content):
    (empty.folder / name).write_bytes(content)
    np.savez(empty.folder / "e.npz", x=np.ones((3, 2), np.float32), y=np.arange(3))
    loaded, cached = empty.load(plan_for(name, f'[data]\nevaluation = "e.npz"\n[compare]\nbaseline = "{name}"'))
    assert not cached
    assert loaded.model.inputs == ()
    assert loaded.model.answers == ()
    assert loaded.model.name == "m"
    assert loaded.baseline == loaded.model.artifact
    assert loaded.data.evaluation.rows == 3
    assert empty.load(plan_for(name, f'[data]\nevaluation = "e.npz"\n[compare]\nbaseline = "{name}"')) == (loaded, True)


def test_a_base_installation_says_what_to_install(empty, base_installation):
    (empty.folder / "m.keras").write_bytes(b"PK\x03\x04")
    with pytest.raises(PlanError, match=r"loading m\.keras needs the extra 'tensorflow'") as caught:
        empty.load(plan_for("m.keras"))
    assert caught.value.hint == "pip install 'edgepress[tensorflow]'"


@pytest.mark.parametrize("content", [b"", b"TFL3", bytes(100), TFLITE[:10], b"\xff\xff\xff\xff" + TFLITE[4:]])
def test_not_tflite(content):
    with pytest.raises(ModelError, match=r"m\.tflite is not a TFLite model") as caught:
        tflite_model.check(content, "m.tflite")
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    "content", [b"", b"hello world", bytes(100), ONNX[:-1], b"\x08\x08", b"\x80" * 40, b"PK\x03\x04"]
)
def test_not_onnx(content):
    with pytest.raises(ModelError, match=r"m\.onnx is not an ONNX model"):
        onnx_model.check(content, "m.onnx")


# --- data that does not fit


@pytest.mark.parametrize(
    ("x", "message", "hint"),
    [
        (
            np.ones((2, 8, 8), np.float32),
            r"shape \(8, 8\), but the model's input 'image' takes \(8, 8, 1\)",
            r"x\[..., None\]",
        ),
        (np.ones((2, 9, 8, 1), np.float32), r"shape \(9, 8, 1\)", "prepared for training"),
        (np.ones((2, 8, 8, 1), np.uint8), "are uint8, but the model's input 'image' takes float32", "float32"),
    ],
)
def test_rows_that_do_not_fit(x, message, hint):
    with pytest.raises(DataError, match=message) as caught:
        check(x, (None, 8, 8, 1))
    assert re.search(hint, caught.value.hint)


def test_open_axes_are_worded_as_in_the_docs():
    with pytest.raises(DataError, match=r"has shape \(2,\), but the model's input 'image' takes \(any, 4\)"):
        check(np.ones((2, 2), np.float32), (None, None, 4))


def test_images_of_bytes_are_not_told_to_wrap_round():
    """255 as int8 is -1."""
    with pytest.raises(DataError, match="are uint8, but the model's input 'image' takes int8") as caught:
        check(np.ones((2, 3), np.uint8), (1, 3), dtype="int8", kind="tflite")
    assert "give real values as float32" in caught.value.hint
    assert "astype" not in caught.value.hint


def test_channels_first_rows_are_told_what_to_do():
    with pytest.raises(DataError) as caught:
        check(np.ones((2, 3, 8, 9), np.float32), (None, 8, 9, 3))
    assert "transpose(0, 2, 3, 1)" in caught.value.hint


def test_an_axis_of_any_length_takes_any_length_and_an_int8_file_takes_real_rows():
    check(np.ones((2, 7, 3), np.float32), (None, None, 3))
    check(np.ones((2, 3), np.float32), (1, 3), dtype="int8", kind="tflite")


def check(x, shape, dtype="float32", kind="keras"):
    column = Column(name="image", artifact=ARTIFACT, shape=x.shape[1:], dtype=x.dtype.name)
    rows = Rows(inputs=(column,), y=None, rows=len(x))
    frameworks.check_fits(rows, [TensorSpec(name="image", shape=shape, dtype=dtype)], "data.evaluation", kind)


@pytest.mark.parametrize(("labels", "message"), [([0, 4, 1], "run from 0 to 4"), ([-1, 0, 1], "run from -1 to 1")])
def test_labels_out_of_range(empty, labels, message):
    with pytest.raises(DataError, match=f"{message}, but the model has 4 classes"):
        add(empty, np.array(labels), (4,))


def test_labels_for_an_output_that_is_not_of_classes(empty):
    with pytest.raises(DataError, match="has no classes to compare with"):
        add(empty, np.array([0, 2, 0]), (1,))


def test_nan_answers_are_an_error(empty):
    with pytest.raises(StageError, match="m answers NaN or infinity for 3 of 3"):
        add(empty, None, (4,), answer=np.nan)


class Fixed(frameworks.Runner):
    """A model that answers the same to every row."""

    name = "m"

    def __init__(self, shape, answer):
        self.inputs = (TensorSpec(name="i", shape=(None, 2), dtype="float32"),)
        self.outputs = (TensorSpec(name="o", shape=(None, *shape), dtype="float32"),)
        self.answer = np.full((1, *shape), answer, np.float32)

    def run(self, feed):
        return [self.answer]

    def reset(self):
        pass

    def in_other_kernels(self):
        return None


def add(project, labels, output_shape, answer=1.0):
    def put(array):
        return project.store.put_parts(lambda: frameworks.array_parts(array), "npy")

    column = Column(name="x", artifact=put(np.ones((3, 2), np.float32)), shape=(2,), dtype="float32")
    rows = Rows(inputs=(column,), y=None if labels is None else put(labels), rows=3)
    model = Model(name="m", artifact=ARTIFACT, inputs=(), outputs=(), parameters=None)
    with project.store.scratch() as scratch:
        request = load.Request(
            root=str(project.store.root), scratch=str(scratch), name="m", format="keras", artifact=ARTIFACT,
            data=Data(evaluation=rows), signature=None, constants={}, shape={}, state={}, sequences=False, raw=False, nonfinite=False,
            custom_objects=None, folder="",
        )  # fmt: skip
        return answers.add(model, Fixed(output_shape, answer), request, project.store, lambda *_: None)


def test_a_signature_of_a_file_that_has_none(empty):
    (empty.folder / "model.onnx").write_bytes(b"")
    with pytest.raises(PlanError, match=r"model.signature: model.onnx has no signatures"):
        load.check(empty.plan(plan_for("model.onnx", 'signature = "embed"')))


def test_a_file_that_answers_nothing(empty):
    runner = Fixed((2,), 1.0)
    runner.outputs = ()
    with pytest.raises(ModelError, match=r"m\.onnx has no output"):
        answers.add(None, runner, load.Request(
            root="", scratch="", name="m.onnx", format="onnx", artifact=Artifact(sha256="0" * 64, format="onnx", size_bytes=1),
            data=Data(), signature=None, constants={}, shape={}, state={}, sequences=False, raw=False, nonfinite=False,
            custom_objects=None, folder="",
        ), empty.store, lambda *_: None)  # fmt: skip
