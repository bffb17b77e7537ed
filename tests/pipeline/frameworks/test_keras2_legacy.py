"""Keras 2 files that only tf_keras opens, saved as SavedModels: they answer as in tf_keras."""

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.errors import ModelError
from pipeline.frameworks import Feeds, keras2_legacy
from pipeline.frameworks.keras2_config import BeyondKeras3Error
from pipeline.frameworks.saved_model_runner import SavedModelRunner
from tests.support.conversions import silent

pytestmark = pytest.mark.frameworks
tf_keras = pytest.importorskip("tf_keras", reason="the extra legacy is not installed")


def functions():
    """Functions of TensorFlow, of which keras.ops has not all, and two outputs, one with a name that is no identifier."""
    import tensorflow as tf
    from tf_keras import layers

    x = layers.Input((8, 8, 3), name="picture-1")
    h = tf.nn.relu(layers.Conv2D(4, 3)(x)) + 1
    h = tf.math.cumsum(tf.math.l2_normalize(h[:, 1:5, :, :2], axis=-1), axis=1)
    h = layers.Flatten()(h)
    return tf_keras.Model(x, [layers.Dense(3, name="b/classes")(h), layers.Dense(1, name="a")(h)])


def gates():
    """Two inputs by name, outputs in a dict, a recurrent layer with the time first."""
    import tensorflow as tf
    from tf_keras import layers

    left, right = layers.Input((5, 3), name="left"), layers.Input((5, 3), name="right")
    h = layers.LSTM(4, time_major=True)(tf.transpose(left - right, [1, 0, 2]))
    return tf_keras.Model({"right": right, "left": left}, {"y": layers.Dense(2, name="z")(h), "a": h})


def cells():
    """A Sequential model inside a layer."""
    from tf_keras import layers

    inner = tf_keras.Sequential([layers.Input((4,)), layers.Dense(3, activation="relu")])
    return tf_keras.Sequential([layers.Input((5, 4), name="x"), layers.TimeDistributed(inner), layers.GRU(2, name="y")])


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("make", [functions, gates, cells])
def test_it_answers_as_in_tf_keras(make, ending, tmp_path):
    """The same operations in the same kernels: the largest difference seen is 0, 6e-8 where a batch is cut in another place."""
    tf_keras.utils.set_random_seed(3)
    model, path = make(), tmp_path / f"m.{ending}"
    model.save(path)
    with pytest.raises(BeyondKeras3Error, match="was made by Keras 2") as caught:
        frameworks.open_keras(path)
    assert "pip install 'edgepress[legacy]'" in caught.value.hint

    runner = SavedModelRunner(keras2_legacy.save_with_tf_keras(path, tmp_path, path.name, {}), path.name)
    generator = np.random.default_rng(0)
    rows = {each.name: generator.random((9, *each.shape[1:]), np.float32) for each in runner.inputs}
    wanted = model({name: rows[name.replace("-", "_")] for name in model.input_names}, training=False)
    if not isinstance(wanted, dict):
        wanted = dict(zip(model.output_names, wanted if isinstance(wanted, list) else [wanted], strict=True))
    assert {each.name for each in runner.outputs} == wanted.keys()
    found = runner.answers(Feeds(runner.inputs, rows, sequences=False), tmp_path / "answers", silent)
    for spec, answers in zip(runner.outputs, found, strict=True):
        np.testing.assert_allclose(answers, wanted[spec.name], atol=2e-7)


def test_a_state_stays_one(tmp_path):
    from tf_keras import layers

    net = [
        layers.Input(batch_shape=(1, 1, 3), name="x"),
        layers.LSTM(2, stateful=True, activity_regularizer="l2", name="y"),
    ]
    tf_keras.Sequential(net).save(tmp_path / "m.h5")
    runner = SavedModelRunner(keras2_legacy.save_with_tf_keras(tmp_path / "m.h5", tmp_path, "m.h5", {}), "m.h5")
    assert runner.keeps_state
    row = {"x": np.ones((1, 1, 3), np.float32)}
    (first,), (second,) = runner.run(row), runner.run(row)
    assert not np.array_equal(first, second)
    runner.reset()
    np.testing.assert_array_equal(runner.run(row)[0], first)


def test_a_layer_of_their_own(tmp_path):
    class Twice(tf_keras.layers.Layer):
        def call(self, x):
            return 2 * x

    x = tf_keras.layers.Input((3,), name="x")
    tf_keras.Model(x, Twice(name="y")(x)).save(tmp_path / "m.h5")
    with pytest.raises(ModelError, match="names the class Twice, which is not part of tf_keras") as caught:
        keras2_legacy.save_with_tf_keras(tmp_path / "m.h5", tmp_path, "m.h5", {})
    assert "custom_objects" in caught.value.hint
    (tmp_path / "again").mkdir()
    folder = keras2_legacy.save_with_tf_keras(tmp_path / "m.h5", tmp_path / "again", "m.h5", {"Twice": Twice})
    (found,) = SavedModelRunner(folder, "m.h5").run({"x": np.ones((2, 3), np.float32)})
    np.testing.assert_array_equal(found, np.full((2, 3), 2.0))


def test_a_model_that_does_not_know_its_input(tmp_path):
    tf_keras.Sequential([tf_keras.layers.ReLU()]).save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"m\.keras does not say the shape of its input"):
        keras2_legacy.save_with_tf_keras(tmp_path / "m.keras", tmp_path, "m.keras", {})


def test_weights_that_do_not_fit(tmp_path):
    import h5py

    x = tf_keras.layers.Input((3,), name="x")
    tf_keras.Model(x, tf_keras.layers.Dense(2, name="y")(x)).save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        del file["model_weights/y/y/bias:0"]
    with pytest.raises(ModelError, match=r"m\.h5 was made by Keras 2, and tf_keras cannot open it \(KeyError"):
        keras2_legacy.save_with_tf_keras(tmp_path / "m.h5", tmp_path, "m.h5", {})
