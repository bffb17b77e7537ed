"""What a Keras 2 file may name: nothing of it runs, is imported or is read but what computes."""

import json
import zipfile
from pathlib import Path

import h5py
import pytest

from pipeline.errors import ModelError
from pipeline.frameworks import keras2_legacy, keras2_trust

pytestmark = pytest.mark.frameworks
tf_keras = pytest.importorskip("tf_keras", reason="the extra legacy is not installed")

FOLDER = Path(__file__).parents[2] / "models" / "keras2"
HARMFUL = {
    "code": ("Lambda", {"name": "code", "function": ["4wAAAA==", None, None]}, "holds a Lambda layer, 'code', which is Python code"),
    "code deep inside": (
        "TimeDistributed", {"layer": {"class_name": "Dense", "config": {"activation": {"class_name": "__lambda__", "config": {"value": []}}}}},
        "holds a Lambda layer, which is Python code",
    ),
    "a file": ("TFOpLambda", {"name": "f", "function": "io.write_file"}, r"calls the function tf\.io\.write_file"),
    "Python": ("TFOpLambda", {"function": "py_function"}, r"calls the function tf\.py_function"),
    "a library": ("TFOpLambda", {"function": "load_op_library"}, r"calls the function tf\.load_op_library"),
    "a raw file": ("TFOpLambda", {"function": "raw_ops.WriteFile"}, r"calls the function tf\.raw_ops\.WriteFile"),
    "an old file": ("TFOpLambda", {"function": "compat.v1.gfile.Copy"}, r"calls the function tf\.compat\.v1\.gfile\.Copy"),
    "not a slice": ("SlicingOpLambda", {"function": "io.write_file"}, r"calls the function tf\.io\.write_file"),
    "an operation": ("TensorFlowOpLayer", {"node_def": {"op": "WriteFile"}}, r"calls the function tf\.WriteFile"),
    "packed operation": ("TensorFlowOpLayer", {"node_def": "\n\u0001aWriteFile"}, r"calls the function tf\., which"),
    "a folder": ("TFSMLayer", {"filepath": "/"}, "names the class TFSMLayer, which is not part"),
    "a method": ("ClassMethod", {"cls_symbol": "io.TFRecordWriter", "method_name": "write"}, "names the class ClassMethod"),
    "words": ("StringLookup", {"vocabulary": "/etc/passwd"}, "a StringLookup whose words lie in a file"),
    "a function of Python": (
        "Dense", {"activation": {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}},
        "names the function system",
    ),
    "another module": (
        "Dense", {"activation": {"module": "os", "class_name": "function", "config": "relu", "registered_name": "relu"}},
        "names the function relu",
    ),
    "a type": ("InputLayer", {"type_spec": {"class_name": "__typespec__", "spec_name": "Popen", "module": "subprocess"}}, "__typespec__"),
}  # fmt: skip


@pytest.mark.parametrize("what", HARMFUL)
def test_what_does_more_than_compute_is_refused(what):
    kind, config, said = HARMFUL[what]
    model = {"class_name": "Functional", "config": {"layers": [{"class_name": kind, "config": config}]}}
    with pytest.raises(ModelError, match=said) as caught:
        keras2_trust.check(model, "m.h5")
    assert caught.value.hint


def test_a_module_of_anything_else_is_not_imported(tmp_path):
    """The classes are known, and the file says to look for them elsewhere."""
    model = {"class_name": "Dense", "config": {}, "module": "antigravity", "registered_name": "Dense"}
    with pytest.raises(ModelError, match="names the class Dense"):
        keras2_trust.check(model, "m.keras")
    keras2_trust.check(model | {"module": "keras.layers"}, "m.keras")
    keras2_trust.check(model | {"registered_name": "mine>Dense"}, "m.keras", ["mine>Dense"])


def test_what_an_optimizer_needs_does_not_matter():
    keras2_trust.check({"class_name": "Sequential", "config": {}, "compile_config": {"class_name": "Mine"}}, "m.keras")


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_code_does_not_run(ending, tmp_path):
    """A file that tf_keras runs code of: from .h5 while it opens it."""
    trace = tmp_path / "trace"
    place = str(trace)

    def harm(rows):
        __import__("pathlib").Path(place).touch()
        return rows

    x = tf_keras.layers.Input((2,), name="x")
    path = tmp_path / f"m.{ending}"
    tf_keras.Model(x, tf_keras.layers.Lambda(harm)(x)).save(path)
    assert trace.exists()
    trace.unlink()
    with pytest.raises(ModelError, match="holds a Lambda layer, 'lambda"):
        keras2_legacy.save_with_tf_keras(path, tmp_path, path.name, {})
    assert not trace.exists()


def test_weights_that_lead_elsewhere(tmp_path):
    x = tf_keras.layers.Input((2,), name="x")
    tf_keras.Model(x, tf_keras.layers.Dense(2, name="y")(x)).save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        del file["model_weights/y"]
        file["model_weights/y"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(ModelError, match="its weights 'y' are a link to another place"):
        keras2_legacy.save_with_tf_keras(tmp_path / "m.h5", tmp_path, "m.h5", {})


def test_every_net_of_keras_2_passes():
    """The check knows all that tf_keras itself writes."""
    for path in sorted(FOLDER.glob("*.keras")):
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
        if path.stem != "code":
            keras2_trust.check(config, path.name)
    for path in sorted(FOLDER.glob("*.h5")):
        with h5py.File(path, "r") as file:
            config = json.loads(file.attrs["model_config"])
        if path.stem != "code":
            keras2_trust.check(config, path.name)
