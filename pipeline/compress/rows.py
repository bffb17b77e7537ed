"""The rows of a set as one model takes them: the arrays of its inputs, in the order that it has them."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline import frameworks
from pipeline.compress.context import Context, Dataset
from pipeline.errors import DataError, PlanError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.feeds import Feeds
from pipeline.frameworks.keras_graph import graph_of
from pipeline.frameworks.types import KerasModel, Nested, TfTensor
from pipeline.records import Artifact, Column, Rows, TensorSpec
from pipeline.safe_text import shortened

NOWHERE = Artifact(sha256="", format="npy", size_bytes=0)  # of rows that stand in no store


def inputs_of(model: KerasModel) -> tuple[TensorSpec, ...]:
    """The inputs by the names that they have in the model's file: a tensor's own name is lost when a model is saved."""
    specs, _ = frameworks.keras_specs(model, model.name)
    names = []
    for spec, tensor in zip(specs, model.inputs, strict=True):
        layer = tensor._keras_history.operation  # noqa: SLF001 - Keras has no public way
        names.append(str(layer.name) if spec.name == tensor.name else spec.name)
    return tuple(
        TensorSpec(name=name, shape=spec.shape, dtype=spec.dtype) for name, spec in zip(names, specs, strict=True)
    )


def outputs_of(model: KerasModel) -> tuple[TensorSpec, ...]:
    _, outputs = frameworks.keras_specs(model, model.name)
    return outputs


class Batches:
    """The rows of a dataset for a Keras model, any of them together."""

    def __init__(self, model: KerasModel, dataset: Dataset, key: str) -> None:
        """DataError if the rows do not fit the model's inputs; `key` names them."""
        inputs = inputs_of(model)
        columns = by_name(dataset, [each.name for each in inputs], key)
        frameworks.check_fits(_as_record(columns), inputs, key, "keras")
        for each in inputs:
            _check_float(columns[each.name], each, key)
        self.rows = dataset.rows
        self.names = [each.name for each in inputs]
        self.columns = [columns[each.name] for each in inputs]
        self.specs = inputs

    def __len__(self) -> int:
        return self.rows

    def take(self, chosen: Array | slice) -> list[Array]:
        """Whole tensors of these rows, in the order of the model's inputs."""
        return [_batch(x[chosen], spec) for x, spec in zip(self.columns, self.specs, strict=True)]

    @property
    def whole(self) -> bool:
        """Whether a row is a tensor with several rows of its own: the model takes that many at once."""
        return any(
            x.ndim == len(spec.shape or ()) + 1 and x.shape[1] > 1
            for x, spec in zip(self.columns, self.specs, strict=True)
        )


def _batch(x: Array, spec: TensorSpec) -> Array:
    """Whole tensors of these rows together; rows that have the first axis of the tensor already are put together along it."""
    x = np.ascontiguousarray(x, spec.dtype if x.dtype.kind == "f" else None)
    return x.reshape(-1, *x.shape[2:]) if x.ndim == len(spec.shape or ()) + 1 else x


def _check_float(x: Array, spec: TensorSpec, key: str) -> None:
    """DataError for floating point numbers of more than 32 bits: half of them would be lost without a word."""
    if x.dtype.kind == "f" and x.dtype.itemsize > 4 and x.dtype.name != spec.dtype:
        raise DataError(
            f"the rows of {key} are {x.dtype.name}, but the model's input '{spec.name}' takes {spec.dtype}",
            hint=f"Give them as {spec.dtype}, prepared as for training: x.astype('{spec.dtype}'), scaled alike.",
        )


def _as_record(columns: Mapping[str, Array]) -> Rows:
    rows = len(next(iter(columns.values())))
    found = tuple(
        Column(name=name, artifact=NOWHERE, shape=tuple(x.shape[1:]), dtype=x.dtype.name) for name, x in columns.items()
    )
    return Rows(inputs=found, y=None, rows=rows)


def by_name(dataset: Dataset, names: Sequence[str], key: str) -> dict[str, Array]:
    """The rows of each of these inputs. DataError if one is missing, is too much, or has another number of rows."""
    if not isinstance(dataset.x, Mapping):
        if len(names) != 1:
            raise DataError(
                f"the rows of {key} are one array, and the model has the inputs {_listed(names)}",
                hint="Give the rows by name: a dict of one array for each input, each with the same number of rows.",
            )
        return {names[0]: dataset.x}
    for what, wrong in (
        ("lack the input", set(names) - set(dataset.x)),
        ("have one too many, of", set(dataset.x) - set(names)),
    ):
        if wrong:
            raise DataError(
                f"the rows of {key} {what} '{shortened(min(wrong), 100)}'",
                hint=f"The model's inputs are {_listed(names)}.",
            )
    counts = {name: len(dataset.x[name]) for name in names}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name}: {count:,}" for name, count in counts.items())
        raise DataError(
            f"the inputs of {key} have different numbers of rows ({told})", hint="Give each input every row."
        )
    return {name: dataset.x[name] for name in names}


def feeds_for(dataset: Dataset, inputs: Sequence[TensorSpec], context: Context, key: str) -> Feeds:
    """The rows one by one, or step by step, for any kind of model. What it passes to itself takes no rows."""
    kept = {name for name, _ in context.state}
    taken = [each for each in inputs if each.name not in kept]
    return Feeds(taken, by_name(dataset, [each.name for each in taken], key), sequences=context.sequences)


def called(model: KerasModel, tensors: Sequence[TfTensor], *, training: bool) -> list[TfTensor]:
    """What each of `model.outputs` is for tensors in the order of `model.inputs`, whatever structures the model has them in."""
    import keras

    graph = graph_of(model)
    assert graph is not None  # its inputs are known
    struct = graph._inputs_struct  # noqa: SLF001 - Keras has no public way
    packed: Nested = keras.tree.pack_sequence_as(struct, list(tensors))
    return list(keras.tree.flatten(model(packed, training=training)))


def structured_as(model: KerasModel, made: KerasModel) -> KerasModel:
    """`made`, whose inputs and outputs are lists, with dicts and lists where `model` has them: their keys are the names."""
    import keras

    graph, built = graph_of(model), graph_of(made)
    assert graph is not None  # its layers were walked through
    assert built is not None
    sides = [(graph._inputs_struct, made.inputs), (graph._outputs_struct, made.outputs)]  # noqa: SLF001 - Keras has no public way
    if not any(isinstance(struct, dict | tuple) or _nested(struct) for struct, _ in sides):
        return made
    packed = [keras.tree.pack_sequence_as(struct, list(tensors)) for struct, tensors in sides]
    return keras.Model(*packed, name=made.name)


def _nested(struct: object) -> bool:
    return isinstance(struct, list) and any(isinstance(each, dict | list | tuple) for each in struct)


def scored_of(model: KerasModel, context: Context) -> int:
    """Which output labels are of."""
    if context.scored is not None:
        return context.scored
    outputs = outputs_of(model)
    return next((place for place, each in enumerate(outputs) if frameworks.classes_of(each) is not None), 0)


def place_of(name: str, outputs: Sequence[TensorSpec]) -> int:
    """The place of the output of this name. PlanError lists those that there are."""
    names = [each.name for each in outputs]
    if name not in names:
        raise PlanError(
            f"scored: the model has no output '{shortened(name, 100)}'", hint=f"Its outputs are {_listed(names)}."
        )
    return names.index(name)


def in_steps(model: KerasModel, context: Context) -> bool:
    """Whether what the model answers depends on what it was given before: then its rows cannot be put together in batches."""
    from pipeline.frameworks.keras_signature import stateful

    return context.sequences or bool(context.state) or bool(stateful(model))


def refuse_steps(model: KerasModel, context: Context, doing: str) -> None:
    """StageError where rows cannot be put together; `doing` is what needs that."""
    if in_steps(model, context):
        raise StageError(
            f"{doing} {model.name}: it keeps a state from step to step, and a batch would mix steps of several rows",
            hint="Train it in your own program before. prune_channels, prune_weights, codebook and half_precision work on it without "
            "recover.",
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shortened(name, 100) for name in names[:20])
