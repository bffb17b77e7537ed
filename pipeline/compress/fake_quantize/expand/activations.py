"""Activations of several operators: the converter leaves each in floating point unless the values inside have a range, too."""

from collections.abc import Callable
from typing import Any

from pipeline.compress.fake_quantize.expand.parts import Parts
from pipeline.compress.fake_quantize.functions import function_of
from pipeline.frameworks.keras_graph import Copies
from pipeline.frameworks.types import KerasLayer, KerasTensor

SELU = (1.6732632423543772, 1.0507009873554805)
"""Alpha and scale of SELU (arXiv 1706.02515)."""


def rewritten(parts: Parts, copies: Copies, layer: KerasLayer, *args: Any, **options: Any) -> KerasTensor:
    """Return what the layer gives, with the function in it written as operators."""
    function = function_of(layer)
    assert function is not None
    x = args[0]
    if hasattr(layer, "kernel"):
        x = copies.replace(
            layer,
            lambda config: type(layer).from_config(config | {"activation": "linear"}),
            layer.get_weights,
            *args,
            **options,
        )
    return FORMS[function](parts, layer, x)


def elu(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    alpha = getattr(layer, "alpha", 1.0)
    return _elu(parts, layer, x, float(alpha), 1.0)


def selu(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    alpha, scale = SELU
    return _elu(parts, layer, x, alpha, scale)


def _elu(parts: Parts, layer: KerasLayer, x: KerasTensor, alpha: float, scale: float) -> KerasTensor:
    """Scale * x above zero, scale * alpha * (e^x - 1) below."""
    from keras import ops

    below = parts.named(layer, "below", ops.minimum(x, 0.0))
    above = parts.named(
        layer, "above", ops.subtract(x, below)
    )  # a relu would be fused into a second copy of the layer before
    below = parts.named(layer, "less_one", ops.add(parts.named(layer, "exp", ops.exp(below)), -1.0))
    if scale != 1:
        above = parts.named(layer, "above_scaled", ops.multiply(above, scale))
    if alpha * scale != 1:
        below = parts.named(layer, "below_scaled", ops.multiply(below, alpha * scale))
    return parts.named(layer, "sum", ops.add(above, below))


def hard_sigmoid(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    """relu6(x + 3) / 6."""
    from keras import ops

    x = parts.named(layer, "relu6", ops.relu6(parts.named(layer, "plus_three", ops.add(x, 3.0))))
    return parts.named(layer, "sixth", ops.multiply(x, 1 / 6))


FORMS: dict[str, Callable[[Parts, KerasLayer, KerasTensor], KerasTensor]] = {
    "elu": elu, "selu": selu, "hard_sigmoid": hard_sigmoid,
}  # fmt: skip
"""Name of the function -> how it is written."""
