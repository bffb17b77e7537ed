"""Where the kernels of a Keras model are: the arrays that a layer multiplies with, which passes on weights change.

Also those inside composite layers: the cells of recurrent layers, the projections of attention, wrapped and nested layers.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from pipeline.compress.formats.keras_model import layers_of
from pipeline.frameworks.keras_graph import graph_of, nodes_of
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasVariable

Kind = Literal["dense", "depthwise", "embedding"]


class Kernel(NamedTuple):
    """One kernel. `inputs` and `outputs` are the axes that are summed over and that number the outputs."""

    layer: str  # as a user knows it: the layer of the model, not the projection or cell inside
    variable: KerasVariable
    kind: Kind
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def kernels_of(model: KerasModel, exclude: Sequence[str] = (), *, last: bool = True) -> list[Kernel]:
    """Every floating point kernel once, in the order of the graph; without `last`, not those of the last layer with weights (where there
    are several outputs: of the last ones before each).
    """
    weighted = [layer for layer in layers_of(model) if layer.weights]
    heads = set() if last else {id(layer) for layer in _heads(model, weighted)}
    found: dict[int, Kernel] = {}
    for layer in weighted:
        if layer.name in exclude or id(layer) in heads:
            continue
        for part in layer._flatten_layers():  # noqa: SLF001 - the only way into wrappers, cells and attention
            for variable, kind, inputs, outputs in _of_layer(part):
                # A kernel that was quantized or adapted (LoRA) is no longer a variable of floating point numbers.
                if hasattr(variable, "assign") and np.issubdtype(np.asarray(variable).dtype, np.floating):
                    found.setdefault(id(variable), Kernel(layer.name, variable, kind, inputs, outputs))
    return list(found.values())


def _heads(model: KerasModel, weighted: list[KerasLayer]) -> list[KerasLayer]:
    """The last layers with weights before the outputs."""
    if graph_of(model) is None or len(model.outputs) == 1:
        return weighted[-1:]
    makers = {id(x): node for node in nodes_of(model) for x in node.outputs}
    found, seen, left = [], set(), [makers.get(id(x)) for x in model.outputs]
    while left:
        node = left.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        layer = node.operation
        if hasattr(layer, "layers") and getattr(layer, "outputs", None):
            found += _heads(layer, [each for each in layers_of(layer) if each.weights])
        elif getattr(layer, "weights", None):
            found.append(layer)
        else:
            left += [makers.get(id(x)) for x in node.input_tensors]
    return found


def prunable_kernels(model: KerasModel, exclude: Sequence[str] = ()) -> list[Kernel]:
    """Return what `prune_weights` prunes.

    Depthwise kernels are few and losing from them costs most; embeddings are looked up and not multiplied; the last layer's kernel is
    the classifier itself. Of several outputs, each has such a layer.
    """
    return [kernel for kernel in kernels_of(model, exclude, last=False) if kernel.kind == "dense"]


def pruned_kernels(model: KerasModel) -> list[KerasVariable]:
    """The kernels, as variables, that hold zeros, except those that are zero because their initializer made them so: they have yet to learn."""
    from keras import initializers

    found: dict[int, KerasVariable] = {}
    untrained: set[int] = set()
    for layer in model._flatten_layers():  # noqa: SLF001 - the only way into wrappers, cells and attention
        for variable in layer.weights:
            if not variable.name.endswith("kernel"):
                continue
            values = np.asarray(variable)
            if np.issubdtype(values.dtype, np.floating) and not values.all():
                found[id(variable)] = variable
                if (
                    isinstance(getattr(layer, f"{variable.name}_initializer", None), initializers.Zeros)
                    and not values.any()
                ):
                    untrained.add(id(variable))
    return [variable for key, variable in found.items() if key not in untrained]


def _of_layer(layer: KerasLayer) -> Iterator[tuple[KerasVariable, Kind, tuple[int, ...], tuple[int, ...]]]:
    from keras import layers

    if isinstance(layer, layers.SeparableConv1D | layers.SeparableConv2D):
        rank = len(layer.pointwise_kernel.shape)
        yield layer.depthwise_kernel, "depthwise", (), (rank - 2, rank - 1)
        yield layer.pointwise_kernel, "dense", (rank - 2,), (rank - 1,)
    elif isinstance(layer, layers.DepthwiseConv1D | layers.DepthwiseConv2D):
        rank = len(layer.kernel.shape)
        yield layer.kernel, "depthwise", (), (rank - 2, rank - 1)
    elif isinstance(layer, layers.Conv1DTranspose | layers.Conv2DTranspose | layers.Conv3DTranspose):
        rank = len(layer.kernel.shape)
        yield layer.kernel, "dense", (rank - 1,), (rank - 2,)
    elif isinstance(layer, layers.Conv1D | layers.Conv2D | layers.Conv3D | layers.Dense):
        rank = len(layer.kernel.shape)
        yield layer.kernel, "dense", (rank - 2,), (rank - 1,)
    elif isinstance(layer, layers.EinsumDense):
        yield layer.kernel, "dense", *_einsum_axes(layer.equation)
    elif isinstance(layer, layers.LSTMCell | layers.GRUCell | layers.SimpleRNNCell):
        yield layer.kernel, "dense", (0,), (1,)
        yield layer.recurrent_kernel, "dense", (0,), (1,)
    elif isinstance(layer, layers.Embedding):
        yield layer.embeddings, "embedding", (), (1,)


def _einsum_axes(equation: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return, for the kernel in "inputs,kernel->outputs", the axes that are summed over, and the others."""
    operands, _, outputs = equation.replace(" ", "").partition("->")
    kernel = operands.split(",")[1]
    summed = tuple(axis for axis, label in enumerate(kernel) if label not in outputs)
    return summed, tuple(axis for axis in range(len(kernel)) if axis not in summed)
