"""Layers of the user's own, as the layers and operations that their `call` is made of: a block of a transformer, words and positions."""

import inspect
from typing import Any

from pipeline.compress.formats.keras_model import layers_of
from pipeline.errors import StageError
from pipeline.frameworks.keras_graph import Copies, graph_of, rebuild
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasNode, KerasTensor, Nested

OURS = ("keras.", "edgepress.")


def is_own(layer: KerasLayer) -> bool:
    """Return whether a class of the user's is called: not one of Keras's, a model, or an operation of keras.ops."""
    import keras

    kind = type(layer)
    return (
        isinstance(layer, keras.Layer)
        and not isinstance(layer, keras.Model)
        and not kind.__module__.startswith(OURS)
        and not issubclass(kind, keras.layers.Lambda)
    )


def opened(model: KerasModel) -> KerasModel:
    """A model with what their calls do in place of such layers; the same model where it has none.

    StageError names a layer whose call is not made of Keras's layers and operations alone.
    """
    if graph_of(model) is None or not any(is_own(layer) for layer in layers_of(model)):
        return model
    copies, names = Copies(), Copies()

    def visit(node: KerasNode, *args: Any, **options: Any) -> Nested:
        layer = node.operation
        whole = copies.call(layer, *args, **options)
        if not is_own(layer):
            return whole
        if "training" in inspect.signature(layer.call).parameters:
            options = {"training": None} | options  # a default of False would hold while it trains
        try:
            found = copies.made[id(layer)].call(*args, **options)
        except Exception as error:  # what the user's own code raises can be anything
            raise StageError(
                f"quantize_aware cannot look into layer '{layer.name}' ({type(layer).__name__}): its call fails on tensors without "
                f"values ({type(error).__name__})",
                hint="Let it be made of Keras's layers and keras.ops alone; or take the pass out: prune_channels and recover work on "
                "this model, and the converter quantizes it after training.",
            ) from error
        _name(names, layer, found, (args, options))
        return found

    return opened(rebuild(model, visit))  # such a layer may call others


def _name(names: Copies, layer: KerasLayer, found: Nested, given: Nested) -> None:
    """Name what lies in between after the layer: Keras's own names count up from model to model, and a file would differ."""
    import keras

    ends = {id(each) for each in keras.tree.flatten(given)}
    left: list[KerasTensor] = [each for each in keras.tree.flatten(found) if id(each) not in ends]
    calls, named = set[int](), set[int]()
    while left:
        operation, place, _ = left.pop(0)._keras_history  # noqa: SLF001 - Keras has no public way to see the calls
        node = operation._inbound_nodes[place]  # noqa: SLF001
        if id(node) in calls:
            continue
        calls.add(id(node))
        left += [each for each in node.input_tensors if id(each) not in ends]
        for each in layers_of(operation) if isinstance(operation, keras.Model) else [operation]:
            if id(each) not in named:
                named.add(id(each))
                each.name = names.name(f"{layer.name}_{type(each).__name__.lower()}")
