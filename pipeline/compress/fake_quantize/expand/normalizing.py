"""Normalisation by the values of each row itself, as the operators that a file has of it.

The mean is taken away first, and what is left is multiplied by one over the root of its mean square. Keras multiplies before it takes
away: with 8 bits that would be the difference of two large numbers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.compress.fake_quantize.expand.parts import Parts
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasLayer, KerasNode, KerasTensor

LEAST_SQUARE = 1e-24
"""Of UnitNormalization, which divides by no less than 1e-12."""


def of_layer(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    """LayerNormalization along the last axis."""
    y = _by_root(parts, layer, _apart(parts, layer, x, (-1,)), (-1,), layer.epsilon)
    return _affine(parts, layer, y)


def root_mean_square(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    """RMSNormalization along the last axis."""
    y = _by_root(parts, layer, x, (-1,), layer.epsilon)
    return parts.scaled(layer, y, np.asarray(layer.scale), np.zeros(1))


def in_groups(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    """GroupNormalization: over a group of channels at all places."""
    from keras import layers

    form, channels = x.shape[1:], x.shape[-1]
    shape = (-1, layer.groups, channels // layer.groups)
    y = parts.layer(layer, "groups", layers.Reshape, None, x, target_shape=shape)
    y = _by_root(parts, layer, _apart(parts, layer, y, (1, 3)), (1, 3), layer.epsilon)
    y = parts.layer(layer, "together", layers.Reshape, None, y, target_shape=form)
    return _affine(parts, layer, y)


def to_unit_length(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    """UnitNormalization along the last axis."""
    return _by_root(parts, layer, x, (-1,), LEAST_SQUARE, mean=False)


def refuse(node: KerasNode) -> str | None:
    """Only along the last axis: what follows is one number for each channel."""
    layer, rank = node.operation, len(node.outputs[0].shape)
    axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    if [axis % rank for axis in axes] != [rank - 1]:
        return f"it normalises along axis {', '.join(map(str, axes))}, and the pass knows it along the last alone"
    if getattr(layer, "rms_scaling", False):
        return "it divides by a variance (rms_scaling=True), which Keras gives up; RMSNormalization can be computed"
    if None in node.outputs[0].shape[1:]:
        return "it normalises rows of an open size"
    return None


def _apart(parts: Parts, layer: KerasLayer, x: KerasTensor, axes: Sequence[int]) -> KerasTensor:
    """Return how far each value is from the mean."""
    from keras import ops

    mean = parts.named(layer, "mean", ops.mean(x, axis=tuple(axes), keepdims=True))
    return parts.named(layer, "apart", ops.subtract(x, mean))


def _by_root(
    parts: Parts, layer: KerasLayer, x: KerasTensor, axes: Sequence[int], least: float, *, mean: bool = True
) -> KerasTensor:
    """Return x / sqrt(mean of x^2 + least), or with the sum in place of the mean."""
    from keras import ops

    from pipeline.frameworks.operator_layers import InverseRoot

    total: Any = ops.mean if mean else ops.sum
    squares = parts.named(layer, "square", ops.multiply(x, x))
    squares = parts.named(layer, "squares", total(squares, axis=tuple(axes), keepdims=True))
    squares = parts.named(layer, "above_zero", ops.add(squares, float(least)))
    root = parts.layer(layer, "inverse_root", InverseRoot, None, squares)
    return parts.named(layer, "scaled", ops.multiply(x, root))


def _affine(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    """Return gamma x + beta of each channel, as far as the layer has them."""
    gamma, beta = (_weight(layer, name) for name in ("gamma", "beta"))
    if gamma is None and beta is None:
        return x
    one, zero = np.ones(1), np.zeros(1)
    return parts.scaled(layer, x, one if gamma is None else gamma, zero if beta is None else beta)


def _weight(layer: KerasLayer, name: str) -> Array | None:
    found = getattr(layer, name, None)
    return None if found is None else np.asarray(found)
