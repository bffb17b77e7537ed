"""Keras -> .tflite with 8-bit integers throughout, input and output too."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.convert import tflite_fp32
from pipeline.convert.work import Job
from pipeline.errors import StageError
from pipeline.frameworks import Array

FILE = "tflite"
SOURCES = ("keras",)
EXTRAS = ("tensorflow",)
REFERENCE = "tflite-fp32"
CALIBRATES = True
LARGEST_ERROR = None


def convert(job: Job, tell: Tell) -> bytes:
    import tensorflow as tf

    rows = job.calibration
    assert rows is not None  # pipeline.convert.check

    def calibration() -> Iterator[list[Array]]:
        for i in range(len(rows)):
            tell(i, len(rows), f"{job.model.name} to TFLite int8: calibrating")
            yield [rows[i : i + 1]]

    converter = tflite_fp32.converter_of(job)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = calibration
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if rows.dtype.kind == "f":  # tokens stay the integers that they are
        converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    data = tflite_fp32.run(converter)
    path = job.scratch / "int8.tflite"
    path.write_bytes(data)
    audit(path)
    return data


def audit(path: Path) -> None:
    """StageError if any operator, or the input or output, is still in floating point."""
    runner = frameworks.Tflite(path, "the int8 file", plain=True)
    floats = [f"the {spec.name}" for spec in runner.specs() if spec.dtype.startswith("float")]
    floats += [name if count == 1 else f"{count} {name}" for name, count in Counter(runner.float_operators()).items()]
    if floats:
        raise StageError(
            f"the int8 file still computes in floating point: {', '.join(floats)}",
            hint="These operators have no 8-bit form; such a file is slow or does not load on integer hardware. Use onnx-int8 or tflite-fp32.",
        )
