"""Multiply-accumulates of one inference, counted from the shapes of a graph: what pruning takes away, and what time does not follow.

Convolutions, matrix products and recurrent cells are counted, as in every paper on pruning; additions, activations and
normalisation are not. Where the kind of a call is not known here, no figure is given at all.
"""

import inspect
import math
from collections.abc import Sequence

from pipeline.frameworks.keras_graph import graph_of, nodes_of
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasNode, KerasVariable

Shape = Sequence[int | None]

PRODUCTS = frozenset(
    {"Attention", "AdditiveAttention", "Conv", "ConvTranspose", "DepthwiseConv", "Dot", "DotProductAttention", "Einsum",
     "GroupedQueryAttention", "Inner", "Outer", "SeparableConv", "Tensordot", "Vdot"}
)  # fmt: skip
"""Layers and operations without weights that multiply and that no rule below counts."""


def of_keras(model: KerasModel) -> int | None:
    """Return the cost of a Keras model; None if a shape is open (an axis other than the batch has no length) or a call is not known."""
    if graph_of(model) is None:
        return None
    costs = [
        _of_call(node.operation, _given(node), node.outputs[0].shape[1:])
        for node in nodes_of(model)  # a shared layer costs as often as it is called
    ]
    return _sum(costs)


def _given(node: KerasNode) -> list[Shape]:
    """The shapes of what a layer was called with, in the order that its `call` names them, whichever way they were passed."""
    import keras

    arguments = node.arguments
    try:
        bound = inspect.signature(node.operation.call).bind(*arguments.args, **arguments.kwargs).arguments
    except TypeError:  # what `__call__` takes in addition to the arguments of `call`
        bound = {"all": node.input_tensors}
    tensors = [one for value in bound.values() for one in keras.tree.flatten(value)]
    return [one.shape[1:] for one in tensors if isinstance(one, keras.KerasTensor)]


def _of_call(layer: KerasLayer, given: list[Shape], made: Shape) -> int | None:
    """Shapes without the batch axis: of all inputs, and of the first output."""
    from keras import layers

    first = given[0]
    if hasattr(layer, "layers"):
        return of_keras(layer)
    if isinstance(layer, layers.TimeDistributed):
        return _product(first[0], _of_call(layer.layer, [first[1:]], made[1:]))
    if isinstance(layer, layers.Bidirectional):
        return _sum([_of_call(half, given, made) for half in (layer.forward_layer, layer.backward_layer)])
    if isinstance(layer, layers.LSTM | layers.GRU | layers.SimpleRNN):
        return _product(first[0], _size(layer.cell.kernel) + _size(layer.cell.recurrent_kernel))
    if isinstance(layer, layers.MultiHeadAttention):
        return _of_attention(layer, given)
    if isinstance(layer, layers.EinsumDense):
        return _of_einsum(layer, first)
    if type(layer).__name__ == "Matmul":
        return _product(*made, first[-1]) if len(given) == 2 else None  # one of them may be a constant
    if isinstance(layer, layers.SeparableConv1D | layers.SeparableConv2D):
        return _product(_places(made, layer), _size(layer.depthwise_kernel) + _size(layer.pointwise_kernel))
    if isinstance(layer, layers.Embedding | layers.PReLU | layers.LayerNormalization | layers.Normalization):
        # Looked up; or one product for each value, as in an activation, also where the weights have several axes.
        return 0
    if hasattr(layer, "kernel"):
        transposed = isinstance(layer, layers.Conv1DTranspose | layers.Conv2DTranspose | layers.Conv3DTranspose)
        return _product(_places(first if transposed else made, layer), _size(layer.kernel))
    multiplies = any(len(weights.shape) > 1 for weights in getattr(layer, "weights", ()))
    return None if multiplies or type(layer).__name__ in PRODUCTS else 0


def _of_attention(layer: KerasLayer, given: list[Shape]) -> int | None:
    """Return the projections of query, key, value and output, and the two products of every query with every key."""
    queries, keys = (_product(*shape[:-1]) for shape in (given[0], given[min(1, len(given) - 1)]))
    if queries is None or keys is None:
        return None
    total: int = queries * keys * layer.num_heads * (layer.key_dim + layer.value_dim)
    for weights in layer.weights:
        if len(weights.shape) > 1 and "kernel" in weights.path:
            of_keys = any(f"/{name}/" in weights.path for name in ("key", "value"))
            total += (keys if of_keys else queries) * _size(weights)
    return total


def _of_einsum(layer: KerasLayer, given: Shape) -> int | None:
    """Return the lengths of all letters of the equation, the batch left aside."""
    terms, _, _ = layer.equation.replace(" ", "").partition("->")
    inputs, kernel = terms.split(",")
    if "." in terms:
        return None
    lengths = dict(zip(kernel, layer.kernel.shape, strict=True)) | dict(zip(inputs[1:], given, strict=True))
    return _product(*lengths.values())


def _places(shape: Shape, layer: KerasLayer) -> int | None:
    """Return how often a kernel is applied: once for each place of the shape, channels left aside."""
    return _product(*(shape[1:] if getattr(layer, "data_format", None) == "channels_first" else shape[:-1]))


def _size(weights: KerasVariable) -> int:
    return math.prod(int(length) for length in weights.shape)


def _product(*factors: int | None) -> int | None:
    known = [factor for factor in factors if factor is not None]
    return math.prod(known) if len(known) == len(factors) else None


def _sum(costs: Sequence[int | None]) -> int | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
