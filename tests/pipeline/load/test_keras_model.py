"""Keras models that are loaded, with their answers, and those that cannot be."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.errors import DataError, ModelError
from pipeline.records import TensorSpec
from tests.support.plans import plan_for
from tests.support.tiny_model import PLAN, tiny_model


@pytest.mark.frameworks
def test_a_keras_model_and_its_answers(whole, sets):
    import keras

    model, (x, y) = whole.loaded.model, sets.evaluation
    independent = keras.models.load_model(whole.project.folder / "tiny.keras")
    expected = independent.predict(x, verbose=0)
    (outputs,) = frameworks.arrays_of(model.answers, whole.project.store.path)
    assert np.allclose(outputs, expected, atol=1e-5)
    assert model.accuracy_ratio == np.mean(expected.argmax(-1) == y) > 0.9
    assert model.inputs == (TensorSpec(name="image", shape=(None, 8, 8, 1), dtype="float32", fixed=(1, 8, 8, 1)),)
    assert [(each.name, each.shape) for each in model.outputs] == [("scores", (None, 4))]
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
