"""Keras or SavedModel -> .tflite in floating point."""

import re

from pipeline import child
from pipeline.child import Tell
from pipeline.convert import advice, keras_source, saved_model_source
from pipeline.convert.keras_source import Source
from pipeline.convert.request import Job
from pipeline.errors import StageError
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.types import KerasModel, TfliteConverter, TfTensor
from pipeline.safe_text import shortened

FILE = "tflite"
SOURCES = ("keras", "saved_model")
EXTRAS = ("tensorflow",)
REFERENCE = "tflite-fp32"
CALIBRATES = False
LARGEST_ERROR = 1e-3
CRASHED = child.CRASHED
SIGNATURE = "serving_default"  # tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


def convert(job: Job, tell: Tell) -> bytes:
    tell(0, 0, f"{job.model.name} to TFLite")
    return run(*opened(job), "tflite-fp32")


def opened(job: Job) -> tuple[TfliteConverter, KerasModel | None]:
    """Return a converter of the source, and the Keras model that it is of."""
    if saved_model_source.is_source(job):
        return saved_model_source.converter_of(job), None
    source = keras_source.opened(job, channels_last=True)
    return converter_of(job, source), source.model


def converter_of(job: Job, source: Source) -> TfliteConverter:
    """Return a converter of a Keras model with the shapes of the job, its inputs and outputs under their names (`keras_source.safe`).

    Through a SavedModel: from_keras_model fails on recurrent layers and leaves operators for the batch axis, and
    from_concrete_functions gives files that answer NaN (seen with TensorFlow 2.21, tf2onnx 1.17, ONNX Runtime 1.32).
    """
    import keras
    import tensorflow as tf

    specs, outputs = source.specs(job.shapes), list(keras_source.safe(source.outputs).values())
    folder = str(job.scratch / "saved_model")

    def answer(**given: TfTensor) -> dict[str, TfTensor]:
        found = source.answer([given[each.name] for each in specs])
        return {name: tf.identity(value) for name, value in zip(outputs, found, strict=True)}

    try:
        function = tf.function(answer, autograph=False)
        function.get_concrete_function(**{each.name: each for each in specs})
        archive = keras.export.ExportArchive()
        archive.track(source.model)  # else its tables are missing in the file
        archive.add_endpoint(SIGNATURE, function)
        archive.write_out(folder, verbose=False)
    except OSError:  # the disk
        raise
    except Exception as error:
        raise StageError(
            f"Keras cannot export {job.model.name}: {type(error).__name__}: {cause_of(error)}",
            hint="TFLite files are made by way of model.export(folder), which must work in the program that made the model.",
        ) from error
    return tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])


def run(converter: TfliteConverter, model: KerasModel | None, tried: str) -> bytes:
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
