"""Keras -> .tflite in floating point."""

import re

from pipeline import child, frameworks
from pipeline.child import Tell
from pipeline.convert import advice
from pipeline.convert.request import Job
from pipeline.errors import StageError
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.types import KerasModel, TfliteConverter
from pipeline.safe_text import shortened

FILE = "tflite"
SOURCES = ("keras",)
EXTRAS = ("tensorflow",)
REFERENCE = "tflite-fp32"
CALIBRATES = False
LARGEST_ERROR = 1e-3
CRASHED = child.CRASHED


def convert(job: Job, tell: Tell) -> bytes:
    tell(0, 0, f"{job.model.name} to TFLite")
    model = job.keras()
    return run(converter_of(job, model), model, "tflite-fp32")


def converter_of(job: Job, model: KerasModel) -> TfliteConverter:
    """Return a converter of the job's model with a batch of exactly 1.

    Through a SavedModel: from_keras_model fails on recurrent layers and leaves operators for the batch axis, and
    from_concrete_functions gives files that answer NaN (seen with TensorFlow 2.21, tf2onnx 1.17, ONNX Runtime 1.32).
    """
    import keras
    import tensorflow as tf

    spec, _ = frameworks.keras_specs(model, job.model.name)
    folder = str(job.scratch / "saved_model")
    static = keras.InputSpec(shape=(1, *job.input_shape), dtype=spec.dtype, name=spec.name)
    try:
        model.export(folder, verbose=False, input_signature=[static])
    except OSError:  # the disk
        raise
    except Exception as error:
        raise StageError(
            f"Keras cannot export {job.model.name}: {type(error).__name__}: {cause_of(error)}",
            hint="TFLite files are made by way of model.export(folder), which must work in the program that made the model.",
        ) from error
    return tf.lite.TFLiteConverter.from_saved_model(folder)


def run(converter: TfliteConverter, model: KerasModel, tried: str) -> bytes:
    """Convert, or say in one sentence why it cannot be. `tried` is the format."""
    try:
        data: bytes = converter.convert()
    except Exception as error:
        operators = sorted(set(re.findall(r"\btf\.[A-Z]\w+", str(error))))
        why = shortened("no form of " + ", ".join(operators)) if operators else cause_of(error)
        raise StageError(
            f"TensorFlow's converter refuses this model: {why}",
            # an operator that TFLite does not have is in none of its formats
            hint=advice.for_model(model, "tflite-fp32" if operators else tried),
        ) from error
    return data
