"""Keras models with several inputs and outputs, with state, in half precision, with channels first, with augmentation."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.errors import ModelError
from pipeline.frameworks import keras_augmentation, keras_signature
from pipeline.records import TensorSpec

pytestmark = pytest.mark.frameworks
RNG = np.random.default_rng(5)


def answers(model, rows, *, sequence=False):
    """By name. `sequence`: all rows are the steps of one."""
    runner = model if isinstance(model, frameworks.Tflite) else frameworks.KerasRunner(model, "m")
    rows = {name: x[None] for name, x in rows.items()} if sequence else rows
    feeds = frameworks.Feeds(runner.inputs, rows, sequences=sequence)
    with tempfile.TemporaryDirectory() as folder:
        found = runner.answers(feeds, Path(folder), lambda _done, _of: None)
        return {spec.name: np.array(x[0] if sequence else x) for spec, x in zip(runner.outputs, found, strict=True)}


def nested():
    import keras
    from keras import layers

    left, right = keras.Input((3,), name="left"), keras.Input((2,), dtype="int32", name="right")
    joined = layers.Concatenate()([left, layers.Rescaling(1.0)(right)])
    outputs = {"s": layers.Dense(2, name="score")(joined), "v": [layers.Dense(1, name="value")(left)]}
    return keras.Model({"right": right, "left": left}, outputs)


def test_names_come_from_the_structure():
    found = keras_signature.keras_signature(nested(), "m")
    assert set(found.inputs) == {
        TensorSpec(name="left", shape=(None, 3), dtype="float32"),
        TensorSpec(name="right", shape=(None, 2), dtype="int32"),
    }
    assert set(found.outputs) == {
        TensorSpec(name="s", shape=(None, 2), dtype="float32"),
        TensorSpec(name="v_0", shape=(None, 1), dtype="float32"),
    }


def test_names_of_lists_come_from_the_layers():
    import keras
    from keras import layers

    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    twice = layers.Dense(2, name="twice")
    found = keras_signature.keras_signature(keras.Model([a, b], [twice(a), twice(b)]), "m")
    assert [each.name for each in found.inputs] == ["a", "b"]
    assert [each.name for each in found.outputs] == ["twice", "twice_1"]


def test_answers_by_name():
    model = nested()
    rows = {"left": RNG.random((5, 3)).astype(np.float32), "right": RNG.integers(0, 9, (5, 2)).astype(np.int32)}
    found, wanted = answers(model, rows), model(rows)
    np.testing.assert_allclose(found["s"], wanted["s"], atol=1e-6)
    np.testing.assert_allclose(found["v_0"], wanted["v"][0], atol=1e-6)


def test_one_input_and_one_output_need_no_structure():
    import keras

    model = keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2, name="y")])
    (spec,) = keras_signature.keras_signature(model, "m").inputs
    x = RNG.random((5, 3)).astype(np.float32)
    np.testing.assert_allclose(answers(model, {spec.name: x})["y"], model(x), atol=1e-6)


def test_a_model_that_does_not_say_what_it_takes():
    import keras

    with pytest.raises(ModelError, match="m does not say what its input looks like"):
        keras_signature.keras_signature(keras.Sequential([keras.layers.Dense(2)]), "m")


def recurrent(batch):
    import keras

    x = keras.Input(batch_shape=(batch, 1, 3), name="x")
    return keras.Model(x, keras.layers.Dense(1, name="y")(keras.layers.LSTM(4, stateful=True)(x)))


def test_a_state_is_reset_for_each_row_or_kept_along_a_sequence():
    model, x = recurrent(1), RNG.random((4, 1, 3)).astype(np.float32)
    alone, along = answers(model, {"x": x})["y"], answers(model, {"x": x}, sequence=True)["y"]
    np.testing.assert_allclose(answers(model, {"x": x[::-1]})["y"], alone[::-1], atol=1e-7)
    np.testing.assert_allclose(alone[0], along[0], atol=1e-7)
    assert np.abs(alone[1:] - along[1:]).min() > 1e-5
    np.testing.assert_allclose(answers(model, {"x": x}, sequence=True)["y"], along, atol=1e-7)  # it began again


def test_a_row_of_a_fixed_batch_is_the_whole_tensor():
    import keras

    x = keras.Input(batch_shape=(4, 3), name="x")
    model = keras.Model(x, keras.layers.Dense(2, name="y")(x))
    rows = RNG.random((5, 4, 3)).astype(np.float32)
    found = answers(model, {"x": rows})["y"]
    np.testing.assert_allclose(found, rows @ np.asarray(model.weights[0]), atol=1e-6)


def test_half_precision_answers_as_float32():
    import keras

    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        x = keras.Input((3,), name="x")
        model = keras.Model(x, keras.layers.Dense(2, name="y")(x))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    rows = RNG.random((5, 3)).astype(np.float32)
    found = answers(model, {"x": rows})["y"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, rows @ np.asarray(model.weights[0]), atol=5e-3)


@pytest.mark.parametrize("kind", ["Conv2D", "Conv2DTranspose"])
def test_channels_first_on_a_cpu(kind):
    import keras

    first, last = keras.Input((3, 8, 8), name="x"), keras.Input((8, 8, 3), name="x")
    layer = getattr(keras.layers, kind)(2, 3, name="y", data_format="channels_first")
    model = keras.Model(first, layer(first))
    same = getattr(keras.layers, kind)(2, 3, data_format="channels_last")
    other = keras.Model(last, same(last))
    same.set_weights(layer.get_weights())
    x = RNG.random((2, 3, 8, 8)).astype(np.float32)
    wanted = np.asarray(other(x.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(answers(model, {"x": x})["y"], wanted, atol=1e-5)


def test_augmentation_vanishes_in_an_exported_file(tmp_path):
    import keras
    import tensorflow as tf
    from keras import layers

    x = keras.Input((8, 8, 3), name="x")
    h = layers.RandomRotation(0.1, name="turn")(layers.RandomFlip(name="flip")(layers.GaussianNoise(0.1)(x)))
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.RandomContrast(0.1, name="contrast"), layers.Conv2D(2, 3)])
    model = keras.Model(x, inner(h))
    rows = RNG.random((1, 8, 8, 3)).astype(np.float32)
    wanted = np.asarray(model(rows, training=False))
    assert set(keras_augmentation.silence(model)) == {"turn", "flip", "contrast"}
    np.testing.assert_array_equal(np.asarray(model(rows, training=False)), wanted)
    signature = [keras.InputSpec(shape=(1, 8, 8, 3), dtype="float32", name="x")]
    model.export(str(tmp_path / "m"), verbose=False, input_signature=signature)
    path = tmp_path / "m.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "m")).convert())
    runner = frameworks.Tflite(path, "m", plain=True)
    assert {each["op_name"] for each in runner.interpreter._get_ops_details()} == {"CONV_2D"}
    np.testing.assert_allclose(
        answers(runner, {runner.inputs[0].name: rows})[runner.outputs[0].name], wanted, atol=1e-6
    )
    again = frameworks.save_keras(model)
    (tmp_path / "m.keras").write_bytes(again)
    assert frameworks.open_keras(tmp_path / "m.keras").get_layer("turn") is not None  # for training


@pytest.mark.parametrize("kind", sorted(keras_augmentation.SILENT))
def test_what_is_silenced_passes_rows_on_at_inference(kind):
    from keras import layers

    settings = {
        **dict.fromkeys(("RandomShear", "RandomTranslation"), (0.1, 0.1)),
        **dict.fromkeys(
            ("RandomBrightness", "RandomColorDegeneration", "RandomContrast", "RandomHue", "RandomRotation", "RandomSaturation", "RandomSharpness", "RandomZoom"),
            (0.1,),
        ),
        "RandomPosterization": (4,),
    }  # fmt: skip
    x = RNG.random((2, 8, 8, 3)).astype(np.float32)
    layer = getattr(layers, kind)(*settings.get(kind, ()))
    np.testing.assert_array_equal(np.asarray(layer(x, training=False)), x)


def test_one_tensor_under_two_keys_keeps_both_names():
    import keras

    x = keras.Input((4,), name="x")
    y = keras.layers.Dense(2)(x)
    assert [each.name for each in frameworks.keras_specs(keras.Model(x, {"b": y, "a": y}), "m")[1]] == ["a", "b"]


def test_a_model_that_means_its_whole_batch_answers_row_by_row():
    import keras

    x = keras.Input((2,), name="x")
    centred = keras.Model(x, x - keras.ops.mean(x, axis=0, keepdims=True))
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    (found,) = answers(centred, {"x": rows}).values()
    assert not found.any(), "each row is its own mean"
    halved = keras.Model(x, keras.ops.reshape(x, (-1, 4)))  # two rows become one
    with pytest.raises(ModelError, match="Keras cannot run"):
        answers(halved, {"x": rows})
