"""Where the kernels of an ONNX graph are: the constants that a node multiplies with, which passes on weights change."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from pipeline.compress.onnx_graph.graph import Graph, name_of, reads
from pipeline.compress.settings import FAULT
from pipeline.errors import PromiseError
from pipeline.frameworks import Array
from pipeline.frameworks.types import OnnxNode

Kind = Literal["dense", "depthwise"]
RECURRENT = ("LSTM", "GRU", "RNN")


class Kernel(NamedTuple):
    """One kernel, as `pipeline.compress.sparsity.kernels.Kernel` is for Keras. `constant` is the name of its values."""

    layer: str
    constant: str
    kind: Kind
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def kernels_of(graph: Graph, exclude: Sequence[str] = (), *, last: bool = True) -> list[Kernel]:
    """Return every kernel once, in the order of the graph; without `last`, not those of the last node with a kernel (where there
    are several outputs: of the last ones before each).

    A constant that several nodes share is one kernel, and is left out if it is to stay for any of them.
    """
    layers = {layer.node.output[0]: layer for layer in graph.layers()}
    found: dict[str, list[Kernel]] = {}
    for node in graph.nodes:
        layer = layers.get(next(iter(node.output), ""))
        if layer is not None:
            kind: Kind = "depthwise" if graph.depthwise(layer) else "dense"
            found[node.output[0]] = [Kernel(layer.name, node.input[1], kind, (layer.input_axis,), (layer.output_axis,))]
        elif node.op_type in RECURRENT and all(_floating(graph, name) for name in node.input[1:3]):
            # (directions, gates * units, inputs): https://onnx.ai/onnx/operators/onnx__LSTM.html
            found[_first_output(node)] = [
                Kernel(name_of(node), name, "dense", (2,), (0, 1)) for name in node.input[1:3]
            ]
    of_nodes = list(found.values())
    kept = {kernel.constant for kernels in of_nodes for kernel in kernels if kernel.layer in exclude}
    if not last:
        kept.update(kernel.constant for kernels in _heads(graph, found) for kernel in kernels)
    once: dict[str, Kernel] = {}
    for kernels in of_nodes:
        for kernel in kernels:
            if kernel.constant not in kept:
                once.setdefault(kernel.constant, kernel)
    return list(once.values())


def _heads(graph: Graph, found: dict[str, list[Kernel]]) -> list[list[Kernel]]:
    """The kernels of the last nodes before the outputs; `found` is by the first output of a node."""
    if len(graph.outputs) == 1:
        return list(found.values())[-1:]
    heads, left = [], list(graph.outputs)
    seen: set[str] = set()
    while left:
        name = left.pop()
        node = graph.producer.get(name)
        if node is None or name in seen:
            continue
        seen.update(node.output)
        first = _first_output(node)
        if first in found:
            heads.append(found[first])
        else:
            left += reads(node)
    return heads


def names_of(graph: Graph) -> list[str]:
    """Return what can stand in `exclude`."""
    return list(dict.fromkeys(kernel.layer for kernel in kernels_of(graph)))


def new_values(old: Graph, new: Graph, constant: str) -> list[Array]:
    """Return what the nodes that read this constant of the old graph read in the new one, which has the same nodes."""
    found = {}
    for was, now in zip(old.nodes, new.nodes, strict=True):
        for name, other in zip(was.input, now.input, strict=False):
            if name == constant and (values := new.value(other)) is not None:
                found[other] = values
    return list(found.values())


def check_rest(old: Graph, new: Graph, changed: set[str], exclude: Sequence[str], *, recalibrated: bool) -> None:
    """PromiseError if a constant has changed that is not in `changed`, nor, where layers were recalibrated, weight or bias of one."""
    layers = [layer for layer in old.layers() if recalibrated and layer.name not in exclude]
    places = [(layer.node, 1) for layer in layers] + [layer.bias for layer in layers if layer.bias is not None]
    norms = [norm for layer in layers if (norm := old.norm_behind(layer)) is not None]
    places += [(norm, index) for norm in norms for index in (1, 3)]
    free = changed | {node.input[index] for node, index in places if index < len(node.input)}
    for name in old.constants:
        kept, found = old.value(name), new.value(name)
        assert kept is not None  # it is a constant of the graph
        if name not in free and name in old.uses and (found is None or not np.array_equal(found, kept)):
            raise PromiseError(f"'{name}', which was to be kept, has changed", hint=FAULT)


def _first_output(node: OnnxNode) -> str:
    return str(next(name for name in node.output if name))


def _floating(graph: Graph, name: str) -> bool:
    values = graph.value(name)
    return values is not None and np.issubdtype(values.dtype, np.floating)
