"""Convolutions that are two in a file."""

from pipeline.compress.fake_quantize.expand.parts import Parts
from pipeline.compress.fake_quantize.functions import KNOWN
from pipeline.frameworks.types import KerasLayer, KerasNode, KerasTensor


def separable(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    """Return a depthwise convolution, and one of size 1 with the bias and the activation."""
    from keras import layers

    kinds = (layers.DepthwiseConv1D, layers.Conv1D) if layer.rank == 1 else (layers.DepthwiseConv2D, layers.Conv2D)
    spatial, pointwise, *bias = layer.get_weights()
    same = {
        key: getattr(layer, key) for key in ("strides", "padding", "depth_multiplier", "dilation_rate", "kernel_size")
    }
    x = parts.layer(layer, "depthwise", kinds[0], [spatial], x, use_bias=False, **same)
    same = {key: getattr(layer, key) for key in ("filters", "use_bias", "activation")}
    return parts.layer(layer, "", kinds[1], [pointwise, *bias], x, kernel_size=1, **same)


def refuse(node: KerasNode) -> str | None:
    layer = node.operation
    if layer.data_format != "channels_last":
        return "its channels are not on the last axis"
    function = str(getattr(layer.activation, "__name__", layer.activation))
    return None if function in KNOWN else f"the pass knows no 8-bit form of the activation '{function}'"
