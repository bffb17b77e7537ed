"""Files of one small network in every form that the converters of TensorFlow write."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def network():
    """A Keras model with a convolution, a depthwise one, a transposed one and a dense layer, and rows for it."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(5)
    x = keras.Input((8, 8, 4), name="x")
    y = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    y = layers.DepthwiseConv2D(3, activation="relu")(y)
    y = layers.Conv2DTranspose(5, 2, strides=2)(y)
    y = layers.GlobalAveragePooling2D()(y)
    model = keras.Model(x, layers.Dense(300, name="y")(y))
    return model, np.random.default_rng(0).normal(size=(20, 1, 8, 8, 4)).astype(np.float32)


@pytest.fixture(scope="session")
def network_macs():
    """By hand: convolution, depthwise, transposed (of what goes in), dense."""
    return 8 * 8 * 32 * (3 * 3 * 4) + 6 * 6 * 32 * 9 + 6 * 6 * 32 * (2 * 2 * 5) + 5 * 300


@pytest.fixture(scope="session")
def converted(network, tmp_path_factory):
    """NAME -> the path of that form, called so."""
    import tensorflow as tf

    model, rows = network
    folder = tmp_path_factory.mktemp("audited")

    def converter(*, quantize=False, calibrated=False):
        made = tf.lite.TFLiteConverter.from_keras_model(model)
        made.optimizations = [tf.lite.Optimize.DEFAULT] if quantize else []
        if calibrated:
            made.representative_dataset = lambda: ([row] for row in rows)
        return made

    kinds = {"float32": converter(), "dynamic": converter(quantize=True)}
    kinds["float16"] = converter(quantize=True)
    kinds["float16"].target_spec.supported_types = [tf.float16]
    kinds["int8"] = converter(quantize=True, calibrated=True)
    kinds["int8"].target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    kinds["int8"].inference_input_type = kinds["int8"].inference_output_type = tf.int8
    kinds["int16"] = converter(quantize=True, calibrated=True)
    kinds["int16"].target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    ]
    paths = {}
    for name, each in kinds.items():
        paths[name] = folder / f"net-{name}.tflite"
        paths[name].write_bytes(each.convert())
    return paths
