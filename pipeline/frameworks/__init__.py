"""What this host can open and run: Keras models, TFLite files and ONNX files, and what they answer for rows.

Only child processes call what imports a framework (`pipeline.child`); `available` and `need` look without importing.
"""

import importlib.util
from pathlib import Path

from pipeline.errors import PlanError
from pipeline.frameworks.differences import (
    check_finite,
    chunks,
    difference,
    error_of,
    finite,
    rows_not_finite,
    together,
)
from pipeline.frameworks.feeds import Feed, Feeds, blank, feeds_of
from pipeline.frameworks.keras_file import check_weights, is_fake_quantized, open_keras, save_keras
from pipeline.frameworks.keras_runner import KerasRunner, keras_specs
from pipeline.frameworks.onnx_file import Onnx, onnx_proto, onnx_weights
from pipeline.frameworks.rows import (
    BATCH_ROWS,
    Array,
    Count,
    accuracy,
    are_classes,
    array_parts,
    arrays_of,
    check_column,
    check_fits,
    classes_of,
    fits,
    read_rows,
    row_shape,
    stored,
)
from pipeline.frameworks.runner import Answers, Runner
from pipeline.frameworks.tflite_file import Tflite, dequantize, quantize

EXTRAS = {
    "tensorflow": ("tensorflow", "keras", "ai_edge_litert"),
    "onnx": ("onnx", "onnxruntime", "tf2onnx", "sympy"),
    "legacy": ("tf_keras",),
}
RUNTIME_EXTRA = {"keras": "tensorflow", "saved_model": "tensorflow", "tflite": "tensorflow", "onnx": "onnx"}
"""The extra that lets this host run a file of this format."""

BY_TENSORFLOW = ("keras", "saved_model")
"""Formats that nothing but TensorFlow opens."""


def available(extra: str) -> bool:
    """Return whether the packages of this extra are installed."""
    return all(importlib.util.find_spec(module) is not None for module in EXTRAS[extra])


def need(extra: str, purpose: str) -> None:
    """Raise PlanError if the extra is not installed; `purpose` completes "... needs the extra"."""
    if not available(extra):
        raise PlanError(
            f"{purpose} needs the extra '{extra}', which is not installed here",
            hint=f"pip install 'edgepress[{extra}]'",
        )


def open_file(path: Path, format: str, name: str, signature: str | None = None) -> Tflite | Onnx:  # noqa: A002 - the field's name
    """Open a deployable file on this host. `signature`: of a .tflite file that has several, as the plan says."""
    return Tflite(path, name, signature=signature) if format == "tflite" else Onnx(path, name)


def kind_of_file(path: Path, format: str, name: str) -> str:  # noqa: A002 - the field's name
    """Return what kind of file it is, by its tensors: float32, int8, "float with int8 weights"."""
    from pipeline.frameworks import kinds

    return kinds.kind_of_file(path, format, name)


__all__ = [
    "BATCH_ROWS", "BY_TENSORFLOW", "EXTRAS", "RUNTIME_EXTRA", "Answers", "Array", "Count", "Feed", "Feeds", "KerasRunner", "Onnx", "Runner", "Tflite", "accuracy",
    "are_classes", "array_parts", "arrays_of", "available", "blank", "check_column", "check_finite", "check_fits", "check_weights", "chunks",
    "classes_of", "dequantize", "difference", "error_of", "feeds_of", "finite", "fits", "is_fake_quantized", "keras_specs", "kind_of_file", "need", "onnx_proto",
    "onnx_weights", "open_file", "open_keras", "quantize", "read_rows", "row_shape", "rows_not_finite", "save_keras", "stored", "together",
]  # fmt: skip
