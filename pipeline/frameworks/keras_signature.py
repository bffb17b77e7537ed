"""Keras models with any number of inputs and outputs: their names, and answers by name; state, float16, channels first."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pipeline.errors import DataError, ModelError
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.keras_graph import graph_of
from pipeline.frameworks.rows import BATCH_ROWS, Array, Count
from pipeline.frameworks.signature import Signature, Tensor, check_rows, joined
from pipeline.frameworks.types import KerasLayer, KerasModel, Nested, TfTensor

KEY = "serve"
"""The key under which Keras exports a model's one function."""
CHANNELS_FIRST = "only supports the NHWC", "only supports NHWC", "only support NHWC"
"""What TensorFlow's kernels for CPUs say of convolutions with channels first; compiled by XLA they run."""


def keras_signature(model: KerasModel, name: str) -> Signature:
    """What the model takes and gives, in the order of `model.inputs` and `model.outputs`; shapes with the batch axis.

    A tensor that stands in a dict has the dict's key for its name (and its place, below that); else inputs have the names of
    keras.Input, and outputs those of the layers that give them. ModelError if the model does not say what it takes.
    """
    graph = graph_of(model)
    if not getattr(model, "built", False) or not getattr(model, "inputs", None) or graph is None:
        raise ModelError(
            f"{name} does not say what its inputs look like",
            hint="Begin the model with keras.Input(shape), or build it as a functional model.",
        )
    inputs = _names(graph._inputs_struct, [each.name for each in model.inputs])  # noqa: SLF001 - Keras has no public way
    outputs = _names(graph._outputs_struct, list(graph.output_names))  # noqa: SLF001
    return Signature(
        KEY,
        tuple(_tensor(*each) for each in zip(inputs, model.inputs, strict=True)),
        tuple(_tensor(*each) for each in zip(outputs, model.outputs, strict=True)),
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


def keras_answers_by_name(
    model: KerasModel, rows: Mapping[str, Array], count: Count, name: str, *, sequence: bool = False
) -> dict[str, Array]:
    """What the model answers for rows (axis 0 of every array), by the names of its outputs; floats as float32.

    A layer with stateful=True is reset before each row, so that the order of rows means nothing; with `sequence` it is reset once, and
    the rows are one sequence. A fixed batch above 1 is filled with the last row, whose further answers are left out; with state it is
    refused. DataError if the rows do not fit; ModelError if Keras cannot compute the answer.
    """
    signature = keras_signature(model, name)
    batch = _batch(signature)
    check_rows(_any_batch(signature), rows, name)
    total, states = len(next(iter(rows.values()))), stateful(model)
    if states and batch not in (None, 1):
        raise ModelError(
            f"{name} keeps a state for {batch} rows at once (stateful=True in '{states[0].name}')",
            hint="Build the model for the board with a batch of 1, and give it these weights.",
        )
    step = 1 if states else batch or BATCH_ROWS
    answer, found = _function(model, signature), []
    for start in range(0, total, step):
        if states and (start == 0 or not sequence):
            reset(model)
        block = {key: x[start : start + step] for key, x in rows.items()}
        have = len(next(iter(block.values())))
        if batch and have < batch:
            block = {key: np.concatenate([x, np.repeat(x[-1:], batch - have, axis=0)]) for key, x in block.items()}
        try:
            found.append({key: _plain(value)[:have] for key, value in answer(block).items()})
        except Exception as error:
            raise ModelError(
                f"Keras cannot run {name}: {cause_of(error)}",
                hint="Does model.predict answer such rows in the program that made it? Save it again from there.",
            ) from error
        count(min(start + step, total), total)
    return {each.name: joined(each.name, [part[each.name] for part in found], name) for each in signature.outputs}


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


def _function(model: KerasModel, signature: Signature) -> Any:
    """The model as a graph. Convolutions with channels first have no kernels for CPUs, and are compiled by XLA then."""
    import tensorflow as tf

    def answer(block: dict[str, TfTensor]) -> dict[str, TfTensor]:
        return called(model, signature, block)

    plain, compiled = tf.function(answer, reduce_retracing=True), tf.function(answer, jit_compile=True)
    chosen = [plain]

    def run(block: Mapping[str, Array]) -> dict[str, TfTensor]:
        tensors = {key: tf.constant(x) for key, x in block.items()}
        try:
            found: dict[str, TfTensor] = chosen[0](tensors)
        except tf.errors.OpError as error:
            if chosen[0] is compiled or not any(each in str(error) for each in CHANNELS_FIRST):
                raise
            chosen[0] = compiled
            found = compiled(tensors)
        return found

    return run


def _names(struct: Nested, plain: list[str]) -> list[str]:
    """A name for each tensor of a structure, none of them twice."""
    import keras

    if not isinstance(struct, dict):
        return list(_unique(plain))
    flat = keras.tree.flatten(struct)
    paths = {id(tensor): path for path, tensor in _paths(struct)}
    return list(_unique([paths[id(each)] for each in flat]))


def _paths(struct: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """("key_0", tensor) of {"key": [tensor]}."""
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


def _tensor(name: str, tensor: Any) -> Tensor:
    dtype = str(tensor.dtype)
    if dtype == "string":
        raise ModelError(
            f"'{name}' is text, which no file for a board can take or give",
            hint="Cut the model after its TextVectorization or StringLookup, and give it the numbers: "
            "keras.Model(layer.output, model.output).",
        )
    return Tensor(name, tuple(tensor.shape), dtype)


def _batch(signature: Signature) -> int | None:
    """The fixed batch; None: any. DataError where inputs contradict each other."""
    fixed = {each.shape[0] for each in signature.inputs if each.shape}
    if len(fixed) > 1 or any(each.shape == () for each in signature.inputs):
        told = ", ".join(f"{each.name}: {each.shape}" for each in signature.inputs)
        raise DataError(
            f"the inputs have no batch axis of one size in common ({told})", hint="Build them with keras.Input(shape)."
        )
    return next(iter(fixed), None)


def _any_batch(signature: Signature) -> Signature:
    inputs = tuple(each._replace(shape=(None, *(each.shape or (None,))[1:])) for each in signature.inputs)
    return signature._replace(inputs=inputs)


def _plain(value: TfTensor) -> Array:
    found: Array = np.asarray(value)
    return (
        found.astype(np.float32) if np.issubdtype(found.dtype, np.floating) or found.dtype.name == "bfloat16" else found
    )
