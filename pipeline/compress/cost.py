"""Multiply-accumulates of one inference, counted from the shapes of a graph: what pruning takes away, and what time does not follow.

Counted are convolutions, matrix products and recurrent cells, as every paper on pruning does; additions, activations and
normalisation are not.
"""

import math
from typing import Any


def of_keras(model: Any) -> int | None:
    """Of a Keras model; None if a shape is open (an axis other than the batch has no length)."""
    total = 0
    for nodes in model._nodes_by_depth.values():  # noqa: SLF001 - a shared layer costs as often as it is called
        for node in nodes:
            if node.is_input:
                continue
            cost = _of_layer(node.operation, node.input_tensors[0].shape[1:], node.outputs[0].shape[1:])
            if cost is None:
                return None
            total += cost
    return total


def _of_layer(layer: Any, given: tuple[int | None, ...], made: tuple[int | None, ...]) -> int | None:
    from keras import layers

    if hasattr(layer, "layers"):
        return of_keras(getattr(layer, "_functional", None) or layer)
    if isinstance(layer, layers.TimeDistributed):
        inner = _of_layer(layer.layer, given[1:], made[1:])
        return None if inner is None or given[0] is None else given[0] * inner
    if isinstance(layer, layers.Bidirectional):
        halves = [_of_layer(half, given, made) for half in (layer.forward_layer, layer.backward_layer)]
        return None if None in halves else sum(half for half in halves if half is not None)
    if isinstance(layer, layers.LSTM | layers.GRU | layers.SimpleRNN):
        weights = layer.cell.kernel.shape, layer.cell.recurrent_kernel.shape
        return None if given[0] is None else given[0] * sum(math.prod(shape) for shape in weights)
    if isinstance(layer, layers.MultiHeadAttention):
        return _of_attention(layer, given)
    kernels = [layer.kernel] if hasattr(layer, "kernel") else []
    if isinstance(layer, layers.SeparableConv1D | layers.SeparableConv2D):
        kernels = [layer.depthwise_kernel, layer.pointwise_kernel]
    if not kernels or isinstance(layer, layers.Embedding):
        return 0
    transposed = isinstance(layer, layers.Conv1DTranspose | layers.Conv2DTranspose | layers.Conv3DTranspose)
    positions = _positions(given if transposed else made, layer)
    return None if positions is None else positions * sum(math.prod(kernel.shape) for kernel in kernels)


def _positions(shape: tuple[int | None, ...], layer: Any) -> int | None:
    """How often a kernel is applied: once for each place of the shape, channels left aside."""
    places = shape[1:] if getattr(layer, "data_format", None) == "channels_first" else shape[:-1]
    return None if None in places else math.prod(size for size in places if size is not None)


def _of_attention(layer: Any, given: tuple[int | None, ...]) -> int | None:
    """Projections of query, key, value and output, and the two products of every pair of places (self-attention)."""
    places = None if None in given[:-1] else math.prod(size for size in given[:-1] if size is not None)
    if places is None:
        return None
    projections: int = sum(math.prod(variable.shape) for variable in layer.weights if "kernel" in variable.path)
    width = int(layer.num_heads * (layer.key_dim + layer.value_dim))
    return places * projections + places * places * width
