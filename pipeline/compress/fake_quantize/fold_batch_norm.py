"""Batch normalisation becomes part of the layer before it, as every converter does it for inference (arXiv 1712.05877, section 3.2).

Its statistics are frozen by this: a training afterwards moves kernels and biases only. What each kernel was multiplied by is returned, for a
training that must not notice it.
"""

import math
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from pipeline.frameworks import Array
from pipeline.frameworks.keras_graph import Copies, consumers, nodes_of, rebuild
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasNode, KerasTensor, LayerConfig


class Folded(NamedTuple):
    model: KerasModel
    factors: dict[str, Array]  # name of a layer -> what its kernel was multiplied by; never 0


def fold_batch_norm(model: KerasModel) -> Folded:
    """A model of equal answers without batch normalisation, Rescaling, separable convolutions and nested models.

    A normalisation right after a convolution or dense layer that feeds nothing else goes into its kernel and bias. Any other one,
    and Rescaling, becomes a depthwise convolution of size 1. A separable convolution becomes its two parts.
    """
    import keras

    model = _flat(model)
    users, copies = consumers(model), Copies()
    calls = Counter(id(node.operation) for node in nodes_of(model))
    norms = {
        id(node.operation): users[id(node.outputs[0])][0]
        for node in nodes_of(model)
        if _takes_a_norm(node.operation) and calls[id(node.operation)] == 1 and _only_norm(users[id(node.outputs[0])])
    }
    folded = {id(norm) for norm in norms.values()}
    factors: dict[str, Array] = {}

    def visit(node: KerasNode, *args: Any, **options: Any) -> KerasTensor:
        layer = node.operation
        if id(node) in folded:
            return args[0]
        if isinstance(layer, keras.layers.BatchNormalization):
            return _depthwise(layer, _affine(layer), args[0], copies, factors)
        if isinstance(layer, keras.layers.Rescaling):
            return _depthwise(layer, (np.asarray(layer.scale), np.asarray(layer.offset)), args[0], copies, factors)
        if id(layer) not in norms:
            return copies.call(layer, *args, **options)
        norm = norms[id(layer)].operation

        def make(config: LayerConfig) -> KerasLayer:
            factors[config["name"]] = _without_zeros(_along_kernel(layer, _affine(norm)[0]))
            return type(layer).from_config(config | {"use_bias": True})

        return copies.replace(layer, make, lambda: _folded(layer, norm), *args, **options)

    return Folded(rebuild(model, visit), factors)


def _flat(model: KerasModel) -> KerasModel:
    """Without nested models and separable convolutions."""
    import keras

    copies, seconds = Copies(), Copies()

    def visit(node: KerasNode, *args: Any, **options: Any) -> KerasTensor:
        layer = node.operation
        if not isinstance(layer, keras.layers.SeparableConv2D):
            return copies.call(layer, *args, **options)
        spatial, pointwise, *bias = layer.get_weights()
        x = copies.replace(layer, _spatial, lambda: [spatial], *args)
        return seconds.replace(layer, _pointwise, lambda: [pointwise, *bias], x)

    return rebuild(model, visit)


def _spatial(config: LayerConfig) -> KerasLayer:
    """Return the first part of a separable convolution."""
    import keras

    same = ("strides", "padding", "depth_multiplier", "dilation_rate", "kernel_size")
    options = {key: config[key] for key in same}
    return keras.layers.DepthwiseConv2D(name=f"{config['name']}_depthwise", use_bias=False, **options)


def _pointwise(config: LayerConfig) -> KerasLayer:
    import keras

    same = ("name", "filters", "use_bias", "activation")
    return keras.layers.Conv2D(kernel_size=1, **{key: config[key] for key in same})


def _takes_a_norm(layer: KerasLayer) -> bool:
    from keras import activations, layers

    kinds = (layers.Conv1D, layers.Conv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose, layers.Dense)
    return isinstance(layer, kinds) and layer.activation is activations.linear


def _only_norm(users: list[KerasNode]) -> bool:
    import keras

    return len(users) == 1 and users[0] is not None and isinstance(users[0].operation, keras.layers.BatchNormalization)


def _affine(norm: KerasLayer) -> tuple[Array, Array]:
    """Factor and offset of each channel: gamma (x - mean) / sqrt(variance + epsilon) + beta = factor x + offset."""
    mean, variance = np.asarray(norm.moving_mean, np.float64), np.asarray(norm.moving_variance, np.float64)
    factor = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        factor *= np.asarray(norm.gamma)
    return factor, -mean * factor + (np.asarray(norm.beta) if norm.center else 0)


def _folded(layer: KerasLayer, norm: KerasLayer) -> list[Array]:
    """Kernel and bias with the normalisation in them."""
    factor, offset = _affine(norm)
    kernel = np.asarray(layer.kernel) * _along_kernel(layer, factor)
    bias = np.asarray(layer.bias) * factor if layer.use_bias else 0
    return [kernel.astype(np.float32), (bias + offset).astype(np.float32)]


def _along_kernel(layer: KerasLayer, factor: Array) -> Array:
    """One value of each output channel, in a shape that broadcasts over the layer's kernel."""
    import keras

    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return factor.reshape(layer.kernel.shape[-2:])
    return factor[:, None] if isinstance(layer, keras.layers.Conv2DTranspose) else factor


def _without_zeros(factor: Array) -> Array:
    """The kernel is divided by it: that of a channel which is multiplied by nothing is 0 by itself."""
    return np.where(factor == 0, 1, factor)


def _depthwise(
    layer: KerasLayer, affine: tuple[Array, Array], x: KerasTensor, copies: Copies, factors: dict[str, Array]
) -> KerasTensor:
    """X * factor + offset of each channel, as a depthwise convolution of size 1."""
    import keras

    channels = x.shape[-1]
    factor, offset = (np.broadcast_to(value, channels).astype(np.float32) for value in affine)
    image = x if len(x.shape) == 4 else keras.layers.Reshape((math.prod(x.shape[1:-1]), 1, channels))(x)

    def make(config: LayerConfig) -> KerasLayer:
        factors[config["name"]] = _without_zeros(factor.reshape(channels, 1))
        return keras.layers.DepthwiseConv2D(1, name=config["name"])

    y = copies.replace(
        layer,
        make,
        lambda: [factor.reshape(1, 1, channels, 1), offset],
        image,
    )
    return y if len(x.shape) == 4 else keras.layers.Reshape(x.shape[1:])(y)
