"""Keras -> .tflite with 8-bit integers throughout, input and output too."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.convert import advice, tflite_fp32
from pipeline.convert.request import Job
from pipeline.errors import StageError
from pipeline.frameworks import Array, keras_augmentation
from pipeline.frameworks.types import KerasModel, TfliteConverter

FILE = "tflite"
SOURCES = ("keras",)
EXTRAS = ("tensorflow",)
REFERENCE = "tflite-fp32"
CALIBRATES = True
LARGEST_ERROR = None
CRASHED = (  # seen with TensorFlow 2.21
    "TensorFlow crashes when it calibrates a recurrent layer that runs as a loop. Where one is named above, build a GRU or SimpleRNN "
    "with unroll=True, or take onnx-int8; else try another format."
)


def convert(job: Job, tell: Tell) -> bytes:
    fake_quantized = frameworks.is_fake_quantized(job.source)
    model = frameworks.open_keras(job.source, job.model.name)
    keras_augmentation.silence(model)
    converter = _of_ranges(job, model, tell) if fake_quantized else _of_rows(job, model, tell)
    data = tflite_fp32.run(converter, model, "tflite-int8")
    path = job.scratch / "int8.tflite"
    path.write_bytes(data)
    audit(path)
    return data


def _of_rows(job: Job, model: KerasModel, tell: Tell) -> TfliteConverter:
    """Return a converter that looks for the ranges of the activations with the calibration rows."""
    import tensorflow as tf

    rows, loops = job.calibration, advice.loops(model)
    assert rows is not None  # pipeline.convert.check

    def calibration() -> Iterator[list[Array]]:
        for i in range(len(rows)):
            tell(
                i,
                len(rows),
                f"{job.model.name} to TFLite int8: calibrating{f', with a loop: {loops}' if loops else ''}",
            )
            yield [rows[i : i + 1]]

    converter = tflite_fp32.converter_of(job, model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = calibration
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if rows.dtype.kind == "f":  # tokens stay the integers that they are
        converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return converter


def _of_ranges(job: Job, model: KerasModel, tell: Tell) -> TfliteConverter:
    """A converter that takes the ranges with which the model was trained.

    TFLITE_BUILTINS_INT8 would ask for calibration rows nevertheless (TensorFlow 2.21): that all is of integers is left to the audit.
    """
    import tensorflow as tf

    from pipeline.frameworks import fake_quantization

    tell(0, 0, f"{job.model.name} to TFLite int8, with the ranges of its training")
    for layer in fake_quantization.rounded_of(model):
        layer.stored_bits = 8  # the runtimes' kernels take no smaller numbers
    converter = tflite_fp32.converter_of(job, model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter


def audit(path: Path) -> None:
    """Raise StageError if any operator, or the input or output, is still in floating point."""
    runner = frameworks.Tflite(path, "the int8 file", plain=True)
    floats = [f"the {spec.name}" for spec in runner.specs() if spec.dtype.startswith("float")]
    floats += [name if count == 1 else f"{count} {name}" for name, count in Counter(runner.float_operators()).items()]
    if floats:
        raise StageError(
            f"the int8 file still computes in floating point: {', '.join(floats)}",
            hint="These operators have no 8-bit form; such a file is slow or does not load on integer hardware. Use onnx-int8 or tflite-fp32.",
        )
