"""Layers in three dimensions, as the ones in two that a file can compute in 8 bits: of LiteRT's own, CONV_3D has no 8-bit form."""

import math

import numpy as np

from pipeline.compress.fake_quantize.expand.parts import Parts
from pipeline.compress.fake_quantize.functions import KNOWN
from pipeline.frameworks.types import KerasLayer, KerasNode, KerasTensor


def convolution(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    """Slices that the kernel sees together lie in the channels of one picture; each picture is a row of the batch."""
    from keras import layers, ops

    kernel, *bias = layer.get_weights()
    size, stride, dilation = (each[0] for each in (layer.kernel_size, layer.strides, layer.dilation_rate))
    seen = (size - 1) * dilation + 1
    if layer.padding == "same":
        more = max((math.ceil(x.shape[1] / stride) - 1) * stride + seen - x.shape[1], 0)
        x = _padded(parts, layer, x, [(more // 2, more - more // 2), (0, 0), (0, 0)])
    depth = (x.shape[1] - seen) // stride + 1
    slices = [
        parts.named(layer, "slice", x[:, first : first + (depth - 1) * stride + 1 : stride])
        for first in range(0, seen, dilation)
    ]
    x = slices[0] if size == 1 else parts.layer(layer, "slices", layers.Concatenate, None, slices)
    x = parts.named(layer, "pictures", ops.reshape(x, (-1, *x.shape[2:])))
    flat = np.moveaxis(kernel, 0, 2).reshape(*kernel.shape[1:3], -1, kernel.shape[-1])
    config = {key: getattr(layer, key)[1:] for key in ("kernel_size", "strides", "dilation_rate")}
    config |= {key: getattr(layer, key) for key in ("filters", "padding", "use_bias", "activation")}
    return _volume(parts, layer, parts.layer(layer, "", layers.Conv2D, [flat, *bias], x, **config), depth)


def pooling(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    """The largest of each picture, and then along the depth."""
    from keras import layers

    (deep, *pool), (step, *strides) = layer.pool_size, layer.strides
    return _in_both(
        parts, layer, x, layers.MaxPooling2D, {"pool_size": tuple(pool), "strides": tuple(strides), "padding": layer.padding},
        {"pool_size": (deep, 1), "strides": (step, 1), "padding": layer.padding},
    )  # fmt: skip


def up_sampling(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    from keras import layers

    deep, *size = layer.size
    return _in_both(parts, layer, x, layers.UpSampling2D, {"size": tuple(size)}, {"size": (deep, 1)})


def global_pooling(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    from keras import layers

    kind = getattr(layers, type(layer).__name__.replace("3D", "1D"))
    x = parts.layer(layer, "places", layers.Reshape, None, x, target_shape=(math.prod(x.shape[1:4]), x.shape[4]))
    x = parts.layer(layer, "", kind, None, x)
    shape = (1, 1, 1, x.shape[-1])
    return parts.layer(layer, "kept", layers.Reshape, None, x, target_shape=shape) if layer.keepdims else x


def zero_padding(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    return _padded(parts, layer, x, list(layer.padding))


def cropping(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    cut = [slice(first, size - last) for (first, last), size in zip(layer.cropping, x.shape[1:4], strict=True)]
    return parts.named(layer, "kept", x[:, *cut])


def refuse(node: KerasNode) -> str | None:
    layer = node.operation
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return "its channels are not on the last axis"
    if getattr(layer, "groups", 1) != 1:
        return "it is a three-dimensional convolution in groups"
    if None in node.input_tensors[0].shape[1:]:
        return "its rows are of an open size"
    function = getattr(layer, "activation", None)
    name = "linear" if function is None else str(getattr(function, "__name__", function))
    return None if name in KNOWN else f"the pass knows no 8-bit form of the activation '{name}'"


def _in_both(
    parts: Parts, layer: KerasLayer, x: KerasTensor, kind: type[KerasLayer], flat: dict[str, object], deep: dict[str, object]
) -> KerasTensor:  # fmt: skip
    """Return what `kind` makes of each picture, and then of the depth."""
    from keras import ops

    depth, channels = x.shape[1], x.shape[4]
    x = parts.named(layer, "pictures", ops.reshape(x, (-1, *x.shape[2:])))
    x = parts.layer(layer, "flat", kind, None, x, **flat)
    high, wide = x.shape[1:3]
    x = parts.named(layer, "columns", ops.reshape(x, (-1, depth, high * wide, channels)))
    x = parts.layer(layer, "deep", kind, None, x, **deep)
    return parts.named(layer, "volume", ops.reshape(x, (-1, x.shape[1], high, wide, channels)))


def _volume(parts: Parts, layer: KerasLayer, x: KerasTensor, depth: int) -> KerasTensor:
    from keras import ops

    return parts.named(layer, "volume", ops.reshape(x, (-1, depth, *x.shape[1:])))


def _padded(parts: Parts, layer: KerasLayer, x: KerasTensor, widths: list[tuple[int, int]]) -> KerasTensor:
    from keras import ops

    if not any(map(any, widths)):
        return x
    return parts.named(layer, "padded", ops.pad(x, ((0, 0), *map(tuple, widths), (0, 0))))
