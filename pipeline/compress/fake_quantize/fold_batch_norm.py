"""Batch normalisation becomes part of the layer before it, as every converter does it for inference (arXiv 1712.05877, section 3.2).

Its statistics are frozen by this: a training afterwards moves kernels and biases only. What each kernel was multiplied by is returned, for a
training that must not notice it.
"""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from pipeline.compress.fake_quantize.expand import expanded
from pipeline.compress.fake_quantize.expand.parts import Parts, without_zeros
from pipeline.frameworks import Array
from pipeline.frameworks.keras_graph import Copies, consumers, nodes_of, rebuild
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasNode, KerasTensor, LayerConfig


class Folded(NamedTuple):
    model: KerasModel
    factors: dict[str, Array]  # name of a layer -> what its kernel was multiplied by; never 0
    together: dict[str, str]  # name of a layer -> name of the one range that its answers have with others


def fold_batch_norm(model: KerasModel) -> Folded:
    """A model of equal answers without batch normalisation, without nested models, and without what expand/ writes as several layers.

    A normalisation right after a convolution or dense layer that feeds nothing else goes into its kernel and bias. Any other one becomes
    a depthwise convolution of size 1.
    """
    import keras

    model, expansion = expanded(model)
    users, copies = consumers(model), Copies()
    parts = Parts(copies)
    calls = Counter(id(node.operation) for node in nodes_of(model))
    norms = {
        id(node.operation): users[id(node.outputs[0])][0]
        for node in nodes_of(model)
        if _takes_a_norm(node.operation) and calls[id(node.operation)] == 1 and _only_norm(users[id(node.outputs[0])])
    }
    folded = {id(norm) for norm in norms.values()}
    factors = parts.factors = expansion.factors

    def visit(node: KerasNode, *args: Any, **options: Any) -> KerasTensor:
        layer = node.operation
        if id(node) in folded:
            return args[0]
        if isinstance(layer, keras.layers.BatchNormalization):
            return parts.scaled(layer, args[0], *_affine(layer))
        if id(layer) not in norms:
            return copies.call(layer, *args, **options)
        norm = norms[id(layer)].operation

        def make(config: LayerConfig) -> KerasLayer:
            factors[config["name"]] = without_zeros(_along_kernel(layer, _affine(norm)[0]))
            return type(layer).from_config(config | {"use_bias": True})

        return copies.replace(layer, make, lambda: _folded(layer, norm), *args, **options)

    return Folded(rebuild(model, visit), factors, expansion.together)


def _takes_a_norm(layer: KerasLayer) -> bool:
    from keras import activations, layers

    kinds = (
        layers.Conv1D, layers.Conv2D, layers.DepthwiseConv1D, layers.DepthwiseConv2D, layers.Conv1DTranspose, layers.Conv2DTranspose,
        layers.Dense,
    )  # fmt: skip
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

    if isinstance(layer, keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D):
        return factor.reshape(layer.kernel.shape[-2:])
    transposed = isinstance(layer, keras.layers.Conv1DTranspose | keras.layers.Conv2DTranspose)
    return factor[:, None] if transposed else factor
