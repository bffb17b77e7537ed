"""Normalisation and other layers that hold weights for each channel."""

import numpy as np

from pipeline.compress.surgery.channels import Axes
from pipeline.compress.surgery.wiring import Call


def batch(call: Call) -> list[Axes]:
    layer = call.layer
    for weight in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
        call.weight(weight, call.x[layer.axis])
    return [call.x]


def layer(call: Call) -> list[Axes]:
    """Normalised over the channels that are left: exact where the original is taken to normalise over the same ones."""
    axes = tuple(call.x[axis] for axis in call.layer.axis)
    for name in ("gamma", "beta", "scale"):
        weight = getattr(call.layer, name, None)
        if hasattr(weight, "shape"):  # `scale` is a weight of RMSNormalization, and a switch of LayerNormalization
            call.weight(weight, *axes)
    return [call.x]


def group(call: Call) -> list[Axes]:
    """The statistics are those of a group, so groups stay whole."""
    layer, ids = call.layer, call.x[call.layer.axis]
    call.weight(layer.gamma, ids)
    call.weight(layer.beta, ids)
    if ids is not None:
        first, *others = ids.reshape(layer.groups, -1).T
        for other in others:
            call.tie(first, other)
        call.size(groups=first)
    return [call.x]


def normalization(call: Call) -> list[Axes]:
    """Keras's layer of fixed statistics. Those that it was given are in its config, and those that it found are weights."""
    layer = call.layer
    axes = tuple(call.x[axis] for axis in sorted(axis % len(call.x) for axis in layer.axis))
    if layer.input_mean is None:
        call.weight(layer.adapt_mean, *axes)
        call.weight(layer.adapt_variance, *axes)
    elif np.ndim(layer.input_mean):
        for ids in axes:
            call.keep(ids, f"'{call.name}' was given a mean for each of them")
    return [call.x]


def prelu(call: Call) -> list[Axes]:
    sizes = call.layer.alpha.shape
    call.weight(call.layer.alpha, *(None if size == 1 else ids for size, ids in zip(sizes, call.x[1:], strict=True)))
    return [call.x]


def layer_scale(call: Call) -> list[Axes]:
    call.weight(call.layer.gamma, call.x[-1])
    if call.x[-1] is not None:
        call.size(projection_dim=call.x[-1])
    return [call.x]
