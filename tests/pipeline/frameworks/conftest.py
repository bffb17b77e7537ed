"""Files of .tflite models that TensorFlow makes: several inputs, signatures, state, quantization."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tflite_files(tmp_path_factory):
    """Name -> content: "two_signatures", "state", "flex" and "dense_int8"."""
    import tensorflow as tf

    class Two(tf.Module):
        @tf.function(
            input_signature=[tf.TensorSpec([1, 4], tf.int32, "tokens"), tf.TensorSpec([1, 5], tf.float32, "extra")]
        )
        def score(self, tokens, extra):
            return {"score": tf.reduce_sum(extra, -1), "feat": tf.cast(tokens, tf.float32) * 2}

        @tf.function(input_signature=[tf.TensorSpec([1, None], tf.float32, "x")])
        def embed(self, x):
            return {"e": x + 1}

    class Count(tf.Module):
        def __init__(self):
            self.total = tf.Variable([[0.0]], name="total")
            self.factor = tf.Variable([[3.0]], name="factor")

        @tf.function(input_signature=[tf.TensorSpec([1, 1], tf.float32, "x")])
        def serve(self, x):
            self.total.assign_add(x)
            return {"sum": self.total.read_value() * self.factor}

    folder = tmp_path_factory.mktemp("tflite")
    two, count = Two(), Count()
    tf.saved_model.save(two, folder / "two", {"score": two.score, "embed": two.embed})
    tf.saved_model.save(count, folder / "count", {"serve": count.serve})
    converters = {
        "two_signatures": tf.lite.TFLiteConverter.from_saved_model(str(folder / "two")),
        "state": tf.lite.TFLiteConverter.from_saved_model(str(folder / "count")),
        "flex": _flex(tf),
        "dense_int8": _dense(tf, folder),
    }
    converters["state"].experimental_enable_resource_variables = True
    return {name: converter.convert() for name, converter in converters.items()}


def _flex(tf):
    """A function without a signature, and with an operator that TFLite has not."""
    function = tf.function(lambda a, b: (a + b, tf.strings.length(tf.strings.as_string(a))))
    spec = tf.TensorSpec([1, 2])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function(spec, spec)])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    return converter


def _dense(tf, folder):
    """A dense layer with one scale for each channel, all of integers."""
    import keras

    rows = keras.Input((6,), name="row")
    model = keras.Model(rows, keras.layers.Dense(3, name="scores")(rows))
    model.export(folder / "dense", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "dense"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    generator = np.random.default_rng(0)
    converter.representative_dataset = lambda: ([generator.normal(size=(1, 6)).astype(np.float32)] for _ in range(20))
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter
