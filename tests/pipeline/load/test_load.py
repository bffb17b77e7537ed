"""Loading models: what can not be used is refused in one sentence, before anything else happens."""

import importlib
import importlib.util
import inspect
import re
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from pipeline import frameworks, load
from pipeline.errors import DataError, ModelError, PlanError, StageError
from pipeline.load import answers, onnx_model, tflite_model
from pipeline.load.table import LOADERS
from pipeline.records import Artifact, Data, Model, Rows, TensorSpec
from tests.support.tiny_model import PLAN, tiny_model

TFLITE = struct.pack("<I", 16) + b"TFL3" + bytes(24)
ONNX = b"\x08\x08" + b"\x3a\x03abc"  # ir_version 8, a graph of three bytes


@pytest.fixture
def base_installation(monkeypatch):
    """As if no extra were installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def plan_for(name, more=""):
    return f'[model]\npath = "{name}"\n{more}'


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
    assert loaded.model.input is None
    assert loaded.model.outputs is None
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
    spec = TensorSpec(name="image", shape=(8, 8, 1), dtype="float32")
    with pytest.raises(DataError, match=message) as caught:
        frameworks.check_fits(x, spec, "data.evaluation", "keras")
    assert re.search(hint, caught.value.hint)


def test_channels_first_rows_are_told_what_to_do():
    with pytest.raises(DataError) as caught:
        frameworks.check_fits(
            np.ones((2, 3, 8, 9), np.float32), TensorSpec(name="i", shape=(8, 9, 3), dtype="float32"), "data.x", "keras"
        )
    assert "transpose(0, 2, 3, 1)" in caught.value.hint


def test_an_axis_of_any_length_takes_any_length_and_an_int8_file_takes_real_rows():
    frameworks.check_fits(
        np.ones((2, 7, 3), np.float32), TensorSpec(name="i", shape=(None, 3), dtype="float32"), "x", "keras"
    )
    frameworks.check_fits(np.ones((2, 3), np.float32), TensorSpec(name="i", shape=(3,), dtype="int8"), "x", "tflite")


@pytest.mark.parametrize(("labels", "message"), [([0, 4, 1], "run from 0 to 4"), ([-1, 0, 1], "run from -1 to 1")])
def test_labels_out_of_range(empty, labels, message):
    with pytest.raises(DataError, match=f"{message}, but the model tells 4 classes apart"):
        add(empty, np.array(labels), (4,))


def test_labels_for_an_output_that_is_not_of_classes(empty):
    with pytest.raises(DataError, match="has no classes to compare with"):
        add(empty, np.array([0, 1, 0]), (1,))


def test_nan_answers_are_an_error(empty):
    with pytest.raises(StageError, match="m answers NaN or infinity for 3 of 3"):
        add(empty, None, (4,), answer=np.nan)


def add(project, labels, output_shape, answer=1.0):
    def put(array):
        return project.store.put_parts(lambda: frameworks.array_parts(array), "npy")

    x = np.ones((3, 2), np.float32)
    rows = Rows(x=put(x), y=None if labels is None else put(labels), rows=3, row_shape=(2,))
    artifact = Artifact(sha256="0" * 64, format="keras", size_bytes=1)
    model = Model(name="m", artifact=artifact, input=None, output=None, parameters=None)
    specs = (
        TensorSpec(name="i", shape=(2,), dtype="float32"),
        TensorSpec(name="o", shape=output_shape, dtype="float32"),
    )
    answered = np.full((3, *output_shape), answer, np.float32)
    return answers.add(model, specs, Data(evaluation=rows), project.store, lambda *_: None, lambda *_: answered)


# --- Keras


@pytest.mark.frameworks
def test_a_keras_model_and_its_answers(whole, sets):
    import keras

    model, (x, y) = whole.loaded.model, sets.evaluation
    independent = keras.models.load_model(whole.project.folder / "tiny.keras")
    expected = independent.predict(x, verbose=0)
    outputs = frameworks.read_rows(whole.project.store.path(model.outputs))
    assert np.allclose(outputs, expected, atol=1e-5)
    assert model.accuracy_ratio == np.mean(expected.argmax(-1) == y) > 0.9
    assert model.input == TensorSpec(name="image", shape=(8, 8, 1), dtype="float32")
    assert (model.output.name, model.output.shape) == ("scores", (4,))
    assert model.parameters == independent.count_params()
    assert model.artifact.size_bytes == (whole.project.folder / "tiny.keras").stat().st_size


@pytest.mark.frameworks
def test_loading_again_takes_it_from_the_store_until_the_data_change(whole):
    assert whole.cached == (False, False, False)
    assert whole.project.load() == (whole.loaded, True)


@pytest.mark.frameworks
def test_this_process_imports_no_framework(tiny):
    script = f"""
import sys
from pathlib import Path
from pipeline import compress, convert, load, plan
from pipeline.progress import Silent
from pipeline.store import Store
read = plan.read(Path({str(tiny.folder / "edge.toml")!r}))
compress.settings_of(read), convert.check(read)
loaded, _ = load.load(read, Store(read.folder / ".edgepress"), Silent())
print(loaded.model.accuracy_ratio)
print([name for name in ("tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert") if name in sys.modules])
"""
    tiny.plan()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    accuracy, modules = done.stdout.splitlines()
    assert float(accuracy) > 0.9
    assert modules == "[]"


@pytest.mark.frameworks
def test_an_h5_model_becomes_a_keras_one(empty, sets):
    tiny_model().save(empty.folder / "old.h5")
    loaded, _ = empty.load(plan_for("old.h5"))
    assert loaded.model.artifact.format == "keras"
    again = frameworks.open_keras(empty.store.path(loaded.model.artifact))
    x = sets.evaluation[0][:5]
    assert np.allclose(again.predict(x, verbose=0), tiny_model().predict(x, verbose=0), atol=1e-6)


@pytest.mark.frameworks
def test_the_same_model_gives_the_same_file():
    model = tiny_model()
    assert frameworks.save_keras(model) == frameworks.save_keras(model)


def damaged(folder, kind):
    import h5py
    import keras
    from keras import layers

    path = folder / f"bad{'.h5' if 'h5' in kind else '.keras'}"
    if kind == "text":
        path.write_text("weights: none")
    elif kind == "other zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("hello.txt", "hello")
    elif kind == "other h5":
        with h5py.File(path, "w") as file:
            file["x"] = [1]
    elif kind in ("cut zip", "cut h5"):
        tiny_model().save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "nan":
        model = tiny_model()
        model.get_layer("pointwise").kernel.assign(np.full((1, 1, 8, 16), np.nan))
        model.save(path)
    elif kind == "custom":

        class Mine(layers.Layer):
            def call(self, x):
                return x

        keras.Sequential([keras.Input((2,)), Mine()]).save(path)
    elif kind in ("lambda", "lambda h5"):
        keras.Sequential([keras.Input((2,)), layers.Lambda(lambda x: x * 2)]).save(path)
    elif kind == "two inputs":
        a, b = keras.Input((2,)), keras.Input((2,))
        keras.Model([a, b], layers.Add()([a, b])).save(path)
    return path


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text", "bad.keras is not a Keras model"),
        ("other zip", r"bad.keras is not a Keras model: it is a zip archive without a config\.json"),
        ("other h5", "bad.h5 holds weights alone"),
        ("cut zip", "bad.keras is damaged"),
        ("cut h5", "bad.h5 is damaged"),
        ("nan", "the weights 'pointwise/kernel' hold NaN"),
        ("custom", "bad.keras uses Mine, which is not part of Keras"),
        ("lambda", "holds a Lambda layer"),
        ("lambda h5", "holds a Lambda layer"),
        ("two inputs", r"has 2 input\(s\) and 1 output"),
    ],
)
def test_unusable_keras_models(tmp_path, kind, message):
    path = damaged(tmp_path, kind)
    with pytest.raises(ModelError, match=message) as caught:
        frameworks.keras_specs(opened := frameworks.open_keras(path), path.name) and frameworks.check_weights(
            opened, path.name
        )
    assert caught.value.hint
    assert len(caught.value.message.splitlines()) == 1


@pytest.mark.frameworks
def test_an_unusable_model_is_refused_through_the_child_too(empty):
    damaged(empty.folder, "lambda")
    with pytest.raises(ModelError, match="holds a Lambda layer"):
        empty.load(plan_for("bad.keras"))
    assert not list(empty.store.tmp.iterdir())


@pytest.mark.frameworks
def test_labels_out_of_range_through_the_child(tiny, sets):
    x, y = sets.evaluation
    np.savez(tiny.folder / "evaluation.npz", x=x, y=y + 1)
    with pytest.raises(DataError, match=r"labels of data\.evaluation run from 1 to 4"):
        tiny.load(PLAN)
