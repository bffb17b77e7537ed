"""Layers that are a Dense layer by another name."""

from pipeline.compress.fake_quantize.expand.parts import Parts
from pipeline.compress.fake_quantize.functions import KNOWN
from pipeline.frameworks.types import KerasLayer, KerasNode, KerasTensor


def einsum(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    return _dense(parts, layer, layer, x)


def refuse_einsum(node: KerasNode) -> str | None:
    """Only what sums over the last axis and makes another last one of it."""
    layer = node.operation
    given, _, result = layer.equation.replace(" ", "").partition("->")
    front, _, kernel = given.partition(",")
    plain = len(kernel) == 2 and front[:-1] == result[:-1] and (front[-1], result[-1]) == (kernel[0], kernel[1])
    if not plain or layer.bias_axes not in (None, "", result[-1]):
        return f"'{layer.equation}' is not what a Dense layer computes"
    return _function(layer)


def time_distributed(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    """A Dense layer takes every step for itself anyway, masked or not."""
    return _dense(parts, layer, layer.layer, x)


def refuse_time_distributed(node: KerasNode) -> str | None:
    inner = node.operation.layer
    if type(inner).__name__ != "Dense":
        return f"it calls a {type(inner).__name__} for each step, and the pass knows it with Dense alone"
    return _function(inner)


def _dense(parts: Parts, owner: KerasLayer, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    from keras import layers

    kernel, *bias = layer.get_weights()
    config = {"units": kernel.shape[-1], "use_bias": bool(bias), "activation": layer.activation}
    return parts.layer(owner, "", layers.Dense, [kernel, *bias], x, **config)


def _function(layer: KerasLayer) -> str | None:
    function = str(getattr(layer.activation, "__name__", layer.activation))
    return None if function in KNOWN else f"the pass knows no 8-bit form of the activation '{function}'"
