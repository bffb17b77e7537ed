"""Keras 2 files that only tf_keras opens, in a plan: loaded, converted, measured, and what is said where that cannot be."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline import compress, frameworks
from pipeline.errors import ModelError, PlanError
from pipeline.progress import Silent
from pipeline.records import RunRecord
from pipeline.store import Store
from tests.support.commands import edgepress, without_extras
from tests.support.plans import plan_for
from tests.support.tiny_model import QUICK, Project

pytestmark = pytest.mark.frameworks
KERAS2 = Path(__file__).parents[2] / "models" / "keras2"
FORMATS = ("tflite-fp32", "tflite-fp16", "tflite-int8", "onnx-fp32", "onnx-int8")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A functional graph with TFOpLambda and SlicingOpLambda, of which keras.ops has not all; rows, and what tf_keras answers for them."""
    tf_keras = pytest.importorskip("tf_keras", reason="the extra legacy is not installed")
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("legacy")
    tf_keras.utils.set_random_seed(5)
    x = tf_keras.layers.Input((8, 8, 3), name="picture")
    h = tf.nn.relu(tf_keras.layers.Conv2D(4, 3)(x)) + 1
    h = tf.pad(h[:, 1:5, :, :2], [[0, 0], [1, 1], [0, 0], [0, 0]])
    h = tf_keras.layers.Flatten()(h)
    model = tf_keras.Model(x, tf_keras.layers.Dense(3, name="values")(h))
    for ending in ("h5", "keras"):
        model.save(folder / f"net.{ending}")
    generator = np.random.default_rng(0)
    rows = generator.random((30, 8, 8, 3), np.float32)
    np.savez(folder / "rows.npz", x=rows)
    np.savez(folder / "calibration.npz", x=generator.random((100, 8, 8, 3), np.float32))
    return Project(folder), np.asarray(model(rows))


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_it_is_loaded_as_tf_keras_answers(project, ending):
    there, wanted = project
    loaded, _ = there.load(plan_for(f"net.{ending}", '[data]\nevaluation = "rows.npz"'))
    model = loaded.model
    assert (model.name, model.artifact.format, model.parameters) == ("net", "saved_model", 112 + 219)
    assert [each.name for each in (*model.inputs, *model.outputs)] == ["picture", "values"]
    (answers,) = frameworks.arrays_of(model.answers, there.store.path)
    np.testing.assert_allclose(answers, wanted, atol=1e-6)  # the largest difference seen is 0
    (note,) = loaded.notes
    assert note.startswith("It is opened with tf_keras, and can be converted and measured, not compressed: ")
    assert "its TFOpLambda 'tf.compat.v1.pad' has no equal in Keras 3" in note


def test_it_is_the_same_model_each_time(project, tmp_path):
    """Else all that was made of it would be made again."""
    for name in ("net.h5", "rows.npz"):
        shutil.copy(project[0].folder / name, tmp_path)
    again, _ = Project(tmp_path).load(plan_for("net.h5", '[data]\nevaluation = "rows.npz"'))
    assert again == project[0].load(plan_for("net.h5", '[data]\nevaluation = "rows.npz"'))[0]


def test_it_goes_the_whole_way(project):
    there, wanted = project
    plan = there.folder / "whole.toml"
    plan.write_text(
        f'[model]\npath = "net.h5"\n[data]\nevaluation = "rows.npz"\ncalibration = "calibration.npz"\n'
        f'[convert]\nformats = {list(FORMATS)}\n[board]\nname = "local"\n{QUICK.replace("launches = 6", "launches = 1")}'
    )
    said = edgepress("run", plan)
    assert said.returncode == 0, said.stderr
    store = Store(there.folder / ".edgepress")
    record = msgspec.json.decode(store.latest_run(), type=RunRecord)
    assert {each.format for each in record.converted} == set(FORMATS)
    for each in record.converted:
        (found,) = frameworks.arrays_of(each.answers, store.path)
        error, exact = np.abs(found - wanted).max() / np.abs(wanted).max(), each.format.endswith("fp32")
        assert error < (1e-6 if exact else 3e-2), each.format  # seen: 2e-7 in 32 bits, 2e-4 in 16, 1e-2 in 8
    measured = {each.label.split(" @ ")[0]: each for each in record.measured.measurements}
    assert set(measured) == {f"original {each}" for each in FORMATS}
    assert all(each.latency.median_s > 0 for each in measured.values())


def test_it_cannot_be_compressed(project):
    there, _ = project
    plan = there.plan(plan_for("net.h5", '[[compress]]\npass = "prune_weights"\nsparsity = 0.5'))
    steps = compress.settings_of(plan)
    loaded, _ = there.load(plan.path.read_text())
    with pytest.raises(PlanError, match=r"compress\[0\]: net\.h5 has no layers of Keras 3") as caught:
        compress.compress(loaded, steps, plan, there.store, Silent())
    assert "Leave out [[compress]]" in caught.value.hint
    assert "tf.compat.v1.pad" in caught.value.hint


def test_layers_of_their_own_of_tf_keras(empty):
    tf_keras = pytest.importorskip("tf_keras", reason="the extra legacy is not installed")

    class Twice(tf_keras.layers.Layer):
        def call(self, x):
            return 2 * x

    x = tf_keras.layers.Input((3,), name="x")
    tf_keras.Model(x, Twice(name="y")(x)).save(empty.folder / "own.h5")
    np.savez(empty.folder / "rows.npz", x=np.ones((2, 3), np.float32))
    (empty.folder / "twice_of_legacy.py").write_text(
        "def known():\n    import tf_keras\n\n    class Twice(tf_keras.layers.Layer):\n        def call(self, x):\n"
        "            return 2 * x\n\n    return {'Twice': Twice}\n"
    )
    data = '[data]\nevaluation = "rows.npz"'
    with pytest.raises(ModelError, match=r"own\.h5 was made by Keras 2 and names the class Twice"):
        empty.load(plan_for("own.h5", data))
    loaded, _ = empty.load(plan_for("own.h5", f'custom_objects = "twice_of_legacy:known"\n{data}'))
    (answers,) = frameworks.arrays_of(loaded.model.answers, empty.store.path)
    np.testing.assert_array_equal(answers, np.full((2, 3), 2.0))
    assert "the class that custom_objects gives for it is not a layer of Keras 3" in loaded.notes[0]


def test_without_the_extra_the_layer_is_named_and_what_to_install(empty):
    shutil.copy(KERAS2 / "unknown.h5", empty.folder)
    plan = empty.plan(plan_for("unknown.h5", '[convert]\nformats = ["onnx-fp32"]'))
    said = edgepress("load", plan.path, env=without_extras(empty.folder, ("tf_keras",)))
    assert said.returncode == 5, said.stderr
    assert "its TFOpLambda 'tf.math.bessel_i0' has no equal in Keras 3" in said.stderr
    assert "pip install 'edgepress[legacy]'" in said.stderr
    assert "pip install --no-deps 'tf_keras==2." in said.stderr
