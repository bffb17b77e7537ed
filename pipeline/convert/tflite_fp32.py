"""Keras -> .tflite in floating point."""

import re
from typing import Any

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.convert.work import Job
from pipeline.errors import StageError

FILE = "tflite"
SOURCES = ("keras",)
EXTRAS = ("tensorflow",)
REFERENCE = "tflite-fp32"
CALIBRATES = False
LARGEST_ERROR = 1e-3


def convert(job: Job, tell: Tell) -> bytes:
    tell(0, 0, f"{job.model.name} to TFLite")
    return run(converter_of(job, job.keras()))


def converter_of(job: Job, model: Any) -> Any:
    """A converter of the job's model with a batch of exactly 1.

    Through a SavedModel: from_keras_model fails on recurrent layers and leaves operators for the batch axis, and
    from_concrete_functions gives files that answer NaN (seen with TensorFlow 2.21, tf2onnx 1.17, ONNX Runtime 1.32).
    """
    import keras
    import tensorflow as tf

    spec, _ = frameworks.keras_specs(model, job.model.name)
    folder = str(job.scratch / "saved_model")
    static = keras.InputSpec(shape=(1, *job.input_shape), dtype=spec.dtype, name=spec.name)
    model.export(folder, verbose=False, input_signature=[static])
    return tf.lite.TFLiteConverter.from_saved_model(folder)


def run(converter: Any) -> bytes:
    """Convert, or say in one sentence why it can not be."""
    try:
        data: bytes = converter.convert()
    except Exception as error:
        operators = sorted(set(re.findall(r"\btf\.[A-Z]\w+", str(error))))
        first = next((line for line in str(error).splitlines() if "error:" in line), str(error).strip())[:300]
        raise StageError(
            f"TensorFlow's converter refuses this model: {'no form of ' + ', '.join(operators) if operators else first}",
            hint="It uses an operator that TFLite does not have in this precision. Try tflite-fp32 or the ONNX formats.",
        ) from error
    return data
