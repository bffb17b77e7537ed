"""Which operators of a graph have an 8-bit form, and what scale their answers have: one row for each kind of layer or operation.

What each operator needs is in TFLite's 8-bit quantization specification (ai.google.dev/edge/litert/models/quantization_spec). Every row was
tried: the file that TensorFlow's converter (2.21) makes computes it in integers (tests/pipeline/compress/fake_quantize/test_layers.py).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from pipeline.compress.fake_quantize.expand.parts import never
from pipeline.compress.fake_quantize.functions import KNOWN, function_of
from pipeline.frameworks.types import KerasLayer, KerasNode

Scale = Literal["own", "one", "none"]
"""Of what comes out: its own, the one that the inputs have too, or nothing is left of the operator in a file.

A range follows each operator with one scale, also where no value is a new one: without it, TensorFlow's converter (2.21) left convolutions
after a pooling in floating point."""


class Operator(NamedTuple):
    scale: Scale
    refuse: Callable[[KerasNode], str | None] = never  # why this call of it has no 8-bit form


def _array(node: KerasNode) -> str | None:
    """Numbers are exact in a file. An array would be rounded there, and no training would have seen it."""
    given = [*node.arguments.args, *node.arguments.kwargs.values()]
    if any(np.ndim(value) for value in given if isinstance(value, np.ndarray | list | tuple) and not _tensors(value)):
        return "it takes an array of constants"
    return None


def _tensors(value: object) -> bool:
    return isinstance(value, list | tuple) and all(hasattr(each, "_keras_history") for each in value)


def _two(node: KerasNode) -> str | None:
    return None if len(node.input_tensors) == 2 else "it multiplies by constants"


def _scaled_up(node: KerasNode) -> str | None:
    layer = node.operation
    way = getattr(layer, "interpolation", "nearest")
    if way not in {"nearest", "bilinear"}:
        return f"it resizes by '{way}', and the runtimes by 'nearest' and 'bilinear' only"
    if getattr(layer, "crop_to_aspect_ratio", False) or getattr(layer, "pad_to_aspect_ratio", False):
        return "it keeps the aspect ratio, by cropping or padding"
    return None


def _zeros(node: KerasNode) -> str | None:
    layer = node.operation
    plain = layer.mode == "constant" and not node.arguments.kwargs.get("constant_values")
    return None if plain else "it pads with something else than zeros"


def _tokens(node: KerasNode) -> str | None:
    if node.operation.mask_zero:
        return "it masks zeros (mask_zero=True), and an 8-bit file has no masks"
    if str(node.input_tensors[0].dtype).startswith("float"):
        return "its rows are floating point numbers, which would be rounded like any other"
    return None


def _lengths(node: KerasNode) -> str | None:
    return "it divides by lengths (normalize=True)" if node.operation.normalize else None


OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(("Add", "Subtract", "Multiply"), Operator("own", _array)),
    **dict.fromkeys(("Exp", "Rsqrt", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "Mean", "Sum", "PReLU"), Operator("own")),
    "Matmul": Operator("own", _two),
    "Dot": Operator("own", _lengths),
    "Embedding": Operator("own", _tokens),
    **dict.fromkeys(("Maximum", "Minimum"), Operator("one", _array)),
    **dict.fromkeys(
        (
            "AveragePooling1D", "AveragePooling2D", "Concatenate", "Cropping1D", "Cropping2D", "ExpandDims", "Flatten", "GetItem",
            "GlobalMaxPooling1D", "GlobalMaxPooling2D", "Max", "MaxPooling1D", "MaxPooling2D", "Permute", "RepeatVector", "Reshape",
            "Split", "Squeeze", "Stack", "Transpose", "ZeroPadding1D", "ZeroPadding2D",
        ),
        Operator("one"),
    ),
    **dict.fromkeys(("Resizing", "UpSampling1D", "UpSampling2D"), Operator("one", _scaled_up)),
    "Pad": Operator("one", _zeros),
    **dict.fromkeys(
        (
            "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "Identity", "SpatialDropout1D",
            "SpatialDropout2D", "StopGradient",
        ),
        Operator("none"),
    ),
}  # fmt: skip
"""Class name of a layer, or of an operation of keras.ops, that neither has a kernel nor is an activation -> its row."""

NO_KERNEL = {
    "Conv3D", "Conv3DTranspose", "MaxPooling3D", "AveragePooling3D", "GlobalAveragePooling3D", "GlobalMaxPooling3D", "UpSampling3D",
    "ZeroPadding3D", "Cropping3D",
}  # fmt: skip
"""LiteRT computes these in floating point only (TensorFlow 2.21)."""


def operator_of(layer: KerasLayer) -> Operator | None:
    """Return the row of a layer that has neither a kernel nor a function; None where it has none."""
    return OPERATORS.get(type(layer).__name__)


def scale_of(layer: KerasLayer) -> Scale:
    """Return what scale its answers have."""
    function, row = function_of(layer), operator_of(layer)
    if row is not None:
        return row.scale
    return "one" if function == "linear" and type(layer).__name__ == "Activation" else "own"


def refusal(node: KerasNode) -> str | None:
    """Return why this call of a layer cannot be computed in 8 bits; None: it can."""
    from pipeline.frameworks.fake_quantization import ROUNDED

    layer, function, kind = node.operation, function_of(node.operation), type(node.operation).__name__
    if kind in NO_KERNEL:
        return "LiteRT has no 8-bit kernel for it"
    if function is not None and function not in KNOWN:
        return f"the pass knows no 8-bit form of the activation '{function}'"
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return "its channels are not on the last axis"
    row = operator_of(layer)
    if row is not None:
        return row.refuse(node)
    return None if function is not None or type(layer) in ROUNDED else "the pass does not know this kind of layer"


def takes_relu(layer: KerasLayer) -> bool:
    """Return whether the converter fuses a ReLU after this operator into it."""
    from pipeline.frameworks.fake_quantization import ROUNDED

    kind = type(layer).__name__
    return kind in {"Add", "Subtract", "Multiply"} or (type(layer) in ROUNDED and not kind.endswith("Transpose"))
