"""Keras or SavedModel -> .tflite with its weights in 16 bits, half the size; what it computes with them is up to the board's delegate."""

from pathlib import Path

import numpy as np

from pipeline import child, frameworks
from pipeline.child import Tell
from pipeline.convert import tflite_fp32
from pipeline.convert.request import Job
from pipeline.errors import StageError

FILE = "tflite"
SOURCES = ("keras", "saved_model")
EXTRAS = ("tensorflow",)
REFERENCE = "tflite-fp32"
CALIBRATES = False
LARGEST_ERROR = 3e-2
CRASHED = child.CRASHED
"""Rounding moves each weight by up to 2^-11 of itself (IEEE 754 binary16): sixty times this leaves room for deep models."""


def convert(job: Job, tell: Tell) -> bytes:
    import tensorflow as tf

    tell(0, 0, f"{job.model.name} to TFLite with 16-bit weights")
    converter, model = tflite_fp32.opened(job)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    data = tflite_fp32.run(converter, model, "tflite-fp16")
    path = job.scratch / "fp16.tflite"
    path.write_bytes(data)
    audit(path)
    return data


def audit(path: Path) -> None:
    """Raise StageError if an operator reads weights that are stored in more than 16 bits."""
    interpreter = frameworks.Tflite(path, "the fp16 file", plain=True).interpreter
    tensors = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()  # noqa: SLF001 - the only way that LiteRT 2.3 offers
    computed = {detail["index"] for detail in interpreter.get_input_details()}
    computed |= {index for operator in operators for index in operator["outputs"]}
    read = {index for operator in operators for index in operator["inputs"] if index in tensors} - computed
    wide = sorted(tensors[index]["name"] for index in read if tensors[index]["dtype"] in (np.float32, np.float64))
    if wide:
        raise StageError(
            f"the fp16 file still stores weights in 32 bits: {', '.join(wide)[:300]}",
            hint="TensorFlow's converter left them so. Use tflite-fp32 or tflite-int8.",
        )
