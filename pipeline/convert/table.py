"""Which formats there are. A format is one file, and one line here."""

import importlib
from typing import Protocol, cast

from pipeline.child import Tell
from pipeline.convert.request import Job


class Converter(Protocol):
    """What the module of a format has."""

    FILE: str  # what the file is: tflite or onnx
    SOURCES: tuple[str, ...]  # formats of the models that it can be made from
    EXTRAS: tuple[str, ...]  # extras that it needs
    REFERENCE: str  # the format to judge it against, made of the original model
    CALIBRATES: bool  # needs data.calibration
    LARGEST_ERROR: float | None  # above this (relative to the largest output) the converter has failed; None: lossy
    CRASHED: str  # what to do when its process crashed in native code

    def convert(self, job: Job, tell: Tell, /) -> bytes:
        """Make the file, in a child process. StageError, ModelError or DataError where it cannot be made."""


CONVERTERS = {
    "tflite-fp32": "pipeline.convert.tflite_fp32",
    "tflite-fp16": "pipeline.convert.tflite_fp16",
    "tflite-int8": "pipeline.convert.tflite_int8",
    "onnx-fp32": "pipeline.convert.onnx_fp32",
    "onnx-int8": "pipeline.convert.onnx_int8",
}
"""Name of a format -> the module that makes it, a Converter."""


def load_converter(name: str) -> Converter:
    """Importing it imports no framework."""
    return cast("Converter", importlib.import_module(CONVERTERS[name]))
