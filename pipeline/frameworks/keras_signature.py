"""Keras models with any number of inputs and outputs: their names, a call by names, and the state that their layers keep."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.errors import ModelError
from pipeline.frameworks.keras_graph import graph_of
from pipeline.frameworks.signature import Signature
from pipeline.frameworks.types import KerasLayer, KerasModel, Nested, TfTensor
from pipeline.records import TensorSpec

KEY = "serve"
"""The key under which Keras exports a model's one function."""


def keras_signature(model: KerasModel, name: str) -> Signature:
    """What the model takes and gives, in the order of `model.inputs` and `model.outputs`; shapes with the batch axis.

    A tensor that stands in a dict has the dict's key for its name (and its place, below that); else inputs have the names of
    keras.Input, and outputs those of the layers that give them. ModelError if the model does not say what it takes.
    """
    graph = graph_of(model)
    if not getattr(model, "built", False) or not getattr(model, "inputs", None) or graph is None:
        raise ModelError(
            f"{name} does not say what its input looks like",
            hint="Begin the model with keras.Input(shape), or build it as a functional model.",
        )
    inputs = _names(graph._inputs_struct, [each.name for each in model.inputs])  # noqa: SLF001 - Keras has no public way
    outputs = _names(graph._outputs_struct, list(graph.output_names))  # noqa: SLF001
    return Signature(
        KEY,
        tuple(
            _tensor(*each, f"the input '{each[0]}' of {name} takes") for each in zip(inputs, model.inputs, strict=True)
        ),
        tuple(
            _tensor(*each, f"the output '{each[0]}' of {name} is") for each in zip(outputs, model.outputs, strict=True)
        ),
    )


def called(model: KerasModel, signature: Signature, tensors: Mapping[str, TfTensor]) -> dict[str, TfTensor]:
    """The model's outputs by name, at inference: for answers, and in the function that is exported."""
    import keras

    graph = graph_of(model)
    given = [tensors[each.name] for each in signature.inputs]
    packed: Nested = keras.tree.pack_sequence_as(graph._inputs_struct, given)  # type: ignore[union-attr]  # noqa: SLF001
    outputs = keras.tree.flatten(
        model(packed[0] if isinstance(packed, list) and len(packed) == 1 else packed, training=False)
    )
    return dict(zip([each.name for each in signature.outputs], outputs, strict=True))


def stateful(model: KerasModel) -> list[KerasLayer]:
    """The layers that keep a state from one call to the next."""
    return [
        each
        for each in model._flatten_layers(include_self=False)  # noqa: SLF001 - Keras has no public way into layers in layers
        if getattr(each, "stateful", False) and hasattr(each, "reset_state")
    ]


def reset(model: KerasModel) -> None:
    """Every state to its beginning."""
    for each in stateful(model):
        each.reset_state()


def _names(struct: Nested, plain: list[str]) -> list[str]:
    """A name for each tensor of a structure, none of them twice."""
    import keras

    if not isinstance(struct, dict):
        return list(_unique(plain))
    # by their places: one tensor may stand under two keys
    paths = {place: path for path, place in _paths(keras.tree.pack_sequence_as(struct, list(range(len(plain)))))}
    return list(_unique([paths[place] for place in range(len(plain))]))


def _paths(struct: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """("key_0", leaf) of {"key": [leaf]}."""
    items = (
        struct.items() if isinstance(struct, dict) else enumerate(struct) if isinstance(struct, list | tuple) else None
    )
    if items is None:
        yield before, struct
        return
    for key, inner in items:
        yield from _paths(inner, f"{before}_{key}" if before else str(key))


def _unique(names: list[str]) -> Iterator[str]:
    """A layer that is called twice gives two outputs of one name."""
    taken: set[str] = set()
    for name in names:
        free = next(
            each for each in itertools.chain([name], (f"{name}_{k}" for k in itertools.count(1))) if each not in taken
        )
        taken.add(free)
        yield free


def _tensor(name: str, tensor: Any, what: str) -> TensorSpec:
    dtype = str(tensor.dtype)
    if dtype == "string":
        raise ModelError(
            f"{what} text, which no file for a board supports",
            hint="Cut the model after its TextVectorization or StringLookup, and give it the numbers: "
            "keras.Model(layer.output, model.output).",
        )
    return TensorSpec(name=name, shape=tuple(tensor.shape), dtype=dtype)
