"""What this host can open and run: Keras models, TFLite files and ONNX files, and what they answer for rows.

Only child processes call what imports a framework (`pipeline.child`); `available` and `need` look without importing.
"""

import importlib.util
from pathlib import Path

from pipeline.errors import PlanError
from pipeline.frameworks.keras_file import (
    check_weights,
    is_fake_quantized,
    keras_answers,
    keras_specs,
    open_keras,
    save_keras,
)
from pipeline.frameworks.onnx_file import Onnx, onnx_proto, onnx_weights
from pipeline.frameworks.rows import (
    BATCH_ROWS,
    Array,
    Count,
    accuracy,
    are_classes,
    array_parts,
    check_finite,
    check_fits,
    classes_of,
    error_of,
    one_each,
    read_rows,
)
from pipeline.frameworks.tflite_file import Tflite, dequantize, quantize

EXTRAS = {
    "tensorflow": ("tensorflow", "keras", "ai_edge_litert"),
    "onnx": ("onnx", "onnxruntime", "tf2onnx", "sympy"),
}
RUNTIME_EXTRA = {"keras": "tensorflow", "tflite": "tensorflow", "onnx": "onnx"}
"""The extra that lets this host run a file of this format."""


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


def open_file(path: Path, format: str, name: str) -> Tflite | Onnx:  # noqa: A002 - the field's name
    """Open a deployable file on this host."""
    return Tflite(path, name) if format == "tflite" else Onnx(path, name)


def kind_of_file(path: Path, format: str, name: str) -> str:  # noqa: A002 - the field's name
    """Return what kind of file it is, by its tensors: float32, int8, "float with int8 weights"."""
    from pipeline.frameworks import kinds

    return kinds.kind_of_file(path, format, name)


__all__ = [
    "BATCH_ROWS", "EXTRAS", "RUNTIME_EXTRA", "Array", "Count", "Onnx", "Tflite", "accuracy", "are_classes", "array_parts", "available", "check_finite",
    "check_fits", "check_weights", "classes_of", "dequantize", "error_of", "is_fake_quantized", "keras_answers", "keras_specs", "kind_of_file", "need", "one_each",
    "onnx_proto", "onnx_weights", "open_file", "open_keras", "quantize", "read_rows", "save_keras",
]  # fmt: skip
