"""Layers that multiply each channel by a number and add one: a depthwise convolution of size 1."""

import numpy as np

from pipeline.compress.fake_quantize.expand.parts import Parts
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasLayer, KerasNode, KerasTensor


def rescaling(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    return parts.scaled(layer, x, np.asarray(layer.scale), np.asarray(layer.offset))


def refuse_rescaling(node: KerasNode) -> str | None:
    layer, channels = node.operation, node.outputs[0].shape[-1]
    sizes = {np.size(layer.scale), np.size(layer.offset)}
    return None if sizes <= {1, channels} else "its numbers are not one for each channel"


def normalization(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    """(x - mean) / deviation of each channel, or with `invert` the other way round."""
    import keras

    mean = _of_channels(layer.mean)
    deviation = np.maximum(np.sqrt(_of_channels(layer.variance)), keras.config.epsilon())
    if layer.invert:
        return parts.scaled(layer, x, deviation, mean)
    return parts.scaled(layer, x, 1 / deviation, -mean / deviation)


def refuse_normalization(node: KerasNode) -> str | None:
    layer, rank = node.operation, len(node.outputs[0].shape)
    if all(axis in (-1, rank - 1) for axis in layer.axis):
        return None
    return f"it normalises along axis {', '.join(map(str, layer.axis))}, and channels are on the last"


def _of_channels(values: object) -> Array:
    return np.asarray(values, np.float64).reshape(-1)
