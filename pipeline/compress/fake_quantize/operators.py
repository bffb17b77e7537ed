"""Which operators of a graph have an 8-bit form, and what scale their answers have: one row for each kind of layer or operation.

What each operator needs is in TFLite's 8-bit quantization specification (ai.google.dev/edge/litert/models/quantization_spec). Every row was
tried: the file that TensorFlow's converter (2.21) makes computes it in integers (tests/pipeline/compress/fake_quantize/test_layers.py).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from pipeline.compress.fake_quantize.expand.parts import never
from pipeline.compress.fake_quantize.functions import KNOWN, function_of
from pipeline.frameworks.types import KerasLayer, KerasNode

Scale = Literal["own", "one", "none"]
"""Of what comes out: its own, the one that the inputs have too, or nothing is left of the operator in a file.

A range follows each operator with one scale, also where no value is a new one: without it, TensorFlow's converter (2.21) left convolutions
after a pooling in floating point."""


WITH_ARRAYS = ("Add", "Subtract", "Multiply")
"""Of constants, which have a range of their own."""


class Operator(NamedTuple):
    scale: Scale
    refuse: Callable[[KerasNode], str | None] = never  # why this call of it has no 8-bit form


def is_array(value: Any) -> bool:
    """Return whether what an operator is called with is an array of constants. (A number is exact in a file, and an array is rounded.)"""
    import keras

    return (isinstance(value, np.ndarray | keras.Variable) or keras.ops.is_tensor(value)) and np.ndim(value) > 0


def _array(node: KerasNode) -> str | None:
    given = [*node.arguments.args, *node.arguments.kwargs.values()]
    return "it takes an array of constants, and has one range with it" if any(map(is_array, given)) else None


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


def _lengths(node: KerasNode) -> str | None:
    return "it divides by lengths (normalize=True)" if node.operation.normalize else None


OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(WITH_ARRAYS, Operator("own")),
    **dict.fromkeys(("Counting", "Exp", "InverseRoot", "Rsqrt", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "Mean", "Sum", "PReLU"), Operator("own")),
    "Matmul": Operator("own", _two),
    "Dot": Operator("own", _lengths),
    "Embedding": Operator("own"),
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

REFUSED = {
    "AveragePooling3D": "a mean along two axes and then the third is rounded twice to the scale of its rows, which is too coarse",
    "Conv3DTranspose": "LiteRT has no 8-bit kernel for it",
    "Masking": "it compares rows with a value, and rounded to 8 bits other rows may be equal to it",
}
"""Class name of a layer -> why it has no 8-bit form (TensorFlow 2.21)."""


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
    if kind in REFUSED:
        return REFUSED[kind]
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
