"""Conversions of SavedModels, judged by the answers of the files."""

import numpy as np
import pytest

from pipeline.convert.conversion import Job
from pipeline.convert.request import shapes_of
from pipeline.convert.table import load_converter
from pipeline.errors import StageError
from pipeline.frameworks import Feeds, saved_model_archive
from pipeline.frameworks.feeds import closed
from pipeline.frameworks.saved_model_runner import SavedModelRunner
from pipeline.records import TensorSpec
from tests.support.conversions import answers, feeds_of, model_of, silent

pytestmark = pytest.mark.frameworks
FORMATS = ("tflite-fp32", "tflite-fp16", "tflite-int8", "onnx-fp32", "onnx-int8")
ALLOWED = {"tflite-fp32": 1e-5, "onnx-fp32": 1e-5, "tflite-fp16": 1e-2, "tflite-int8": 0.2, "onnx-int8": 0.2}


def check(folder, name, scratch, rows, signature=None, shapes=None, **more):
    """Convert, and hold each output against what the signature answers in TensorFlow."""
    runner = SavedModelRunner(folder, "m", signature)
    fixed = {each.name: (shapes or {}).get(each.name, closed(each.shape)) for each in runner.inputs}
    inputs = tuple(TensorSpec(each.name, each.shape, each.dtype, fixed=fixed[each.name]) for each in runner.inputs)
    record = model_of("saved_model", inputs=inputs, outputs=runner.outputs, **more)
    converter = load_converter(name)
    (scratch / "stored").write_bytes(saved_model_archive.packed(folder))
    calibration = feeds_of(record, rows) if converter.CALIBRATES else None
    job = Job(scratch / "stored", record, calibration, scratch, shapes_of(record), signature=signature)
    found = answers(converter.convert(job, silent), converter.FILE, scratch, record, rows)
    exact = runner.answers(
        Feeds(inputs, rows, sequences=record.sequences), scratch / "exact", silent, list(record.state)
    )
    for spec, wanted in zip(runner.outputs, exact, strict=True):
        assert found[spec.name].shape == wanted.shape, spec.name
        error = np.abs(found[spec.name].astype(np.float64) - wanted).max()
        assert error < ALLOWED[name] * max(1, np.abs(wanted).max()), (spec.name, error)
    return found


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Keras 3: two inputs and two outputs in dicts, an exact GELU, and the state of a GRU that goes in and out."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    left, right, state = keras.Input((4,), name="left"), keras.Input((4,), name="right"), keras.Input((5,), name="h")
    both = layers.Dense(6, activation=lambda x: keras.ops.gelu(x, approximate=False))(layers.Subtract()([left, right]))
    after, _ = layers.GRU(5, return_state=True, unroll=True)(layers.Reshape((1, 6))(both), initial_state=state)
    outputs = {"z": layers.Dense(4)(after), "a": layers.Dense(4)(both), "next": after}
    model = keras.Model({"right": right, "left": left, "h": state}, outputs)
    folder = tmp_path_factory.mktemp("exported") / "m"
    model.export(str(folder), verbose=False)
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_what_keras_exports_with_its_state(exported, name, tmp_path):
    generator = np.random.default_rng(0)
    rows = {key: generator.normal(size=(8, 6, 4)).astype(np.float32) for key in ("left", "right")}
    check(exported, name, tmp_path, rows, state=(("h", "next"),), sequences=True)


@pytest.mark.parametrize("name", FORMATS)
def test_one_of_two_signatures(name, tmp_path):
    """Tokens, an axis that the plan fixes, and an output with the name of an input."""
    import tensorflow as tf

    class Two(tf.Module):
        def __init__(self):
            super().__init__()
            self.table = tf.Variable(np.random.default_rng(1).normal(size=(10, 4)).astype(np.float32))

        @tf.function(
            input_signature=[tf.TensorSpec([1, None], tf.int32, "tokens"), tf.TensorSpec([1, 4], tf.float32, "extra")]
        )
        def score(self, tokens, extra):
            mean = tf.reduce_mean(tf.gather(self.table, tokens), 1)
            return {"score": mean * extra, "extra": extra + 1.0}

        @tf.function(input_signature=[tf.TensorSpec([1, 3], tf.float32, "x")])
        def answer(self, x):
            return {"y": x}

    two = Two()
    tf.saved_model.save(two, str(tmp_path / "m"), signatures={"answer": two.answer, "score": two.score})
    generator = np.random.default_rng(2)
    rows = {
        "extra": generator.normal(size=(20, 4)).astype(np.float32),
        "tokens": generator.integers(0, 10, (20, 5)).astype(np.int32),
    }
    check(tmp_path / "m", name, tmp_path, rows, "score", {"tokens": (1, 5)})


@pytest.mark.parametrize("name", [each for each in FORMATS if each != "tflite-int8"])
def test_a_recurrent_layer_with_an_open_batch(name, tmp_path):
    import keras

    keras.utils.set_random_seed(3)
    x = keras.Input((6, 3), name="sound")
    keras.Model(x, keras.layers.Dense(2)(keras.layers.LSTM(4)(x))).export(str(tmp_path / "m"), verbose=False)
    rows = {"sound": np.random.default_rng(4).random((10, 6, 3)).astype(np.float32)}
    check(tmp_path / "m", name, tmp_path, rows)


def test_what_no_format_has(tmp_path):
    import tensorflow as tf

    class Odd(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
        def answer(self, x):
            return {"y": tf.math.bessel_i0(x)}

    odd = Odd()
    tf.saved_model.save(odd, str(tmp_path / "m"), signatures={"serve": odd.answer})
    rows = {"x": np.ones((2, 4), np.float32)}
    with pytest.raises(
        StageError, match=r"TensorFlow's converter refuses this model: no form of tf\.BesselI0"
    ) as caught:
        check(tmp_path / "m", "tflite-fp16", tmp_path, rows)
    assert "Try the ONNX formats" in caught.value.hint
    with pytest.raises(StageError, match="tf2onnx cannot convert m: ONNX has no form of BesselI0"):
        check(tmp_path / "m", "onnx-fp32", tmp_path, rows)
