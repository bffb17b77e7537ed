"""The walk over a Keras graph, along which channels are followed."""

import inspect
from collections.abc import Sequence
from typing import Any

from pipeline.compress.surgery.channels import Axes
from pipeline.compress.surgery.rules import rule_of
from pipeline.compress.surgery.wiring import Call, Tensor, Wiring
from pipeline.errors import StageError
from pipeline.frameworks.keras_graph import graph_of, nodes_of
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasNode


def functional(model: KerasModel) -> KerasModel:
    """Return the graph of a Functional or Sequential model. StageError if it has none."""
    graph = graph_of(model)
    if graph is None:
        raise StageError(
            f"'{model.name}' ({type(model).__name__}) has no graph of layers that could be read, so no channels can be removed",
            hint="Build it as keras.Model(inputs, outputs), or as keras.Sequential beginning with keras.Input.",
        )
    return graph


def is_model(layer: KerasLayer) -> bool:
    """Return whether this layer is a model with a graph of its own."""
    import keras

    return isinstance(layer, keras.Model) and (hasattr(layer, "_nodes_by_depth") or hasattr(layer, "_functional"))


def walk(model: KerasModel) -> Wiring:
    """Find how channels run through the model. StageError if it has no graph."""
    wiring = Wiring()
    inputs = [Tensor((None,) * len(tensor.shape), tuple(tensor.shape)) for tensor in functional(model).inputs]
    for tensor in _through(model, inputs, wiring):
        for ids in tensor.axes:
            wiring.channels.keep(ids, "its channels are the model's output", first=True)
    return wiring


def _through(model: KerasModel, inputs: Sequence[Tensor], wiring: Wiring) -> list[Tensor]:
    graph = functional(model)
    found: dict[int, Tensor] = {}
    for tensor, outer in zip(graph.inputs, inputs, strict=True):
        wiring.runs_along(tensor, outer.axes, model.name)
        found[id(tensor)] = outer
    for node in nodes_of(graph):
        given = [found[id(tensor)] for tensor in node.input_tensors]
        made = (
            _through(node.operation, given, wiring) if is_model(node.operation) else _called(node, given, found, wiring)
        )
        found.update({id(tensor): new for tensor, new in zip(node.outputs, made, strict=True)})
        ids = [each for tensor in made for each in tensor.axes if each is not None]
        wiring.put_out.setdefault(node.operation.name, []).extend(ids)
    return [found[id(tensor)] for tensor in graph.outputs]


def _called(node: KerasNode, given: Sequence[Tensor], found: dict[int, Tensor], wiring: Wiring) -> list[Tensor]:
    layer, shapes = node.operation, [tuple(tensor.shape) for tensor in node.outputs]
    call = Call(layer, layer.name, wiring, _arguments(node, found), given, shapes)
    rule = rule_of(layer)
    axes = call.fixed() if rule is None else rule(call)
    if any(not _fits(each, shape) for each, shape in zip(axes, shapes, strict=True)):
        axes = call.fixed()  # called in a way that its rule does not know, such as with arrays among the tensors
    return [Tensor(each, shape) for each, shape in zip(axes, shapes, strict=True)]


def _fits(axes: Axes, shape: tuple[int | None, ...]) -> bool:
    """Channels in the place of rows, as of x[0], are among what no rule knows."""
    if len(axes) != len(shape) or any(ids is not None for ids in axes[:1]):
        return False
    return all(ids is None or len(ids) == size for ids, size in zip(axes, shape, strict=True))


def _arguments(node: KerasNode, found: dict[int, Tensor]) -> dict[str, Any]:
    """Return what the layer was called with, by the names of its `call`."""
    import keras

    def known(value: object) -> object:
        return found[id(value)] if isinstance(value, keras.KerasTensor) else value

    args, kwargs = (keras.tree.map_structure(known, each) for each in (node.arguments.args, node.arguments.kwargs))
    try:
        return dict(inspect.signature(node.operation.call).bind(*args, **kwargs).arguments)
    except TypeError:  # what `__call__` takes in addition to the arguments of `call`
        return {}
