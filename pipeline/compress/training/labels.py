"""Which outputs learn from labels, by which loss, and whether the labels are of the form that the loss needs."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from pipeline import frameworks
from pipeline.compress.context import Context, Dataset
from pipeline.compress.training import compiled, logits, losses
from pipeline.compress.training.losses import Cannot, Loss
from pipeline.errors import DataError, EdgepressError, PlanError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.types import KerasModel
from pipeline.records import TensorSpec
from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean

KEY = "training.loss"
OF_KINDS = {
    "classification": "sparse_categorical_crossentropy",
    "segmentation": "sparse_categorical_crossentropy",
    "regression": "mean_squared_error",
    "binary": "binary_crossentropy",
    "multilabel": "binary_crossentropy",
}
"""The loss of a kind of task, where it is certain."""

PART_ROWS = 4096


class Learned(NamedTuple):
    """An output that learns from labels."""

    place: int
    name: str
    y: Array  # (rows, ...), which may be mapped
    loss: Loss
    weight: float
    row: tuple[int, ...] | None  # the shape that a row's labels get; None: as they are
    dtype: str

    def take(self, rows: Array) -> Array:
        """Return the labels of these rows, as the loss takes them."""
        found = np.ascontiguousarray(self.y[rows], self.dtype)
        return found if self.row is None else found.reshape(len(found), *self.row)


class Labels(NamedTuple):
    learned: tuple[Learned, ...] = ()
    notes: tuple[str, ...] = ()
    unused: str = ""  # the name of an output whose labels have no loss


class _Wanted(NamedTuple):
    """A loss that an output shall have: its name, or what a file keeps of it."""

    spec: Any
    source: Literal["plan", "model", "task"]
    weight: float = 1.0


def learned_from(
    model: KerasModel, context: Context, outputs: Sequence[TensorSpec], scored: int, answers: Sequence[Array]
) -> Labels:
    """Return the outputs that learn from the labels of the training rows. `answers`: of the model to the first of them.

    The loss is [training] loss of the plan, else the compiled model's, else that of the kind of task, else cross entropy where an output
    is scores of classes. PlanError or DataError says what does not fit.
    """
    assert context.training is not None
    names = list(context.outputs) or [each.name for each in outputs]
    given = _given(context.training)
    wanted = _of_plan(context, names, list(given))
    given = _with_names(given, wanted, names, scored)
    of_model = {} if wanted else compiled.losses_of(context.compiled, names, model)
    found: list[Learned] = []
    notes: list[str] = []
    unused = ""
    for name, y in given.items():
        place = names.index(name)
        kept = of_model.get(name)
        of_file = None if kept is None else _Wanted(kept.spec, "model", kept.weight)
        tries = [wanted.get(name)] if wanted else [of_file, _of_task(context, place == scored)]
        known = [each for each in tries if each is not None]
        learned, said = _first(known, model, context, outputs[place], (place, name, y), answers[place])
        if learned is None and not wanted and frameworks.classes_of(outputs[place]) is not None:
            learned = _of_classes(place, name, y, len(answers[place][0]), context.training.rows)
        notes += said
        found += [] if learned is None else [learned]
        unused = unused or (name if learned is None else "")
    return Labels(tuple(found), (*notes, *_told(found, names)), unused)


def given_to(context: Context, names: Sequence[str], scored: int) -> dict[int, Array]:
    """Return the labels of the training rows by the place of their output. PlanError or DataError for a name that is not an output's."""
    assert context.training is not None
    given = _given(context.training)
    given = _with_names(given, _of_plan(context, names, list(given)), names, scored)
    return {names.index(name): y for name, y in given.items()}


def _given(training: Dataset) -> dict[str, Array]:
    return dict(training.targets) if training.y is None else {"": training.y}


def _of_plan(context: Context, names: Sequence[str], given: Sequence[str]) -> dict[str, _Wanted]:
    loss, weights = context.learn.loss, context.learn.loss_weights
    for key, table in ((KEY, loss if isinstance(loss, dict) else {}), ("training.loss_weights", weights)):
        for name in table:
            if name not in names:
                raise PlanError(
                    f"{key}: the model has no output '{shortened(name, 100)}'",
                    hint=f"{did_you_mean(name, names)}Its outputs are {', '.join(names)}.",
                )
    if loss is None:
        return {}
    if isinstance(loss, str):
        return {name: _Wanted(loss, "plan", weights.get(name, 1.0)) for name in (given if "" not in given else names)}
    lacking = [name for name in loss if given and "" not in given and name not in given]
    if lacking or (len(loss) > 1 and list(given) == [""]):
        raise DataError(
            f"{KEY} names '{lacking[0] if lacking else list(loss)[1]}', and data.training has no labels of that output",
            hint="Give labels by the names of outputs: (x, {'NAME': labels}) from a function, or arrays labels.NAME in an .npz; or take it out "
            "of [training] loss.",
        )
    return {name: _Wanted(each, "plan", weights.get(name, 1.0)) for name, each in loss.items()}


def _with_names(
    given: dict[str, Array], wanted: Mapping[str, _Wanted], names: Sequence[str], scored: int
) -> dict[str, Array]:
    """Return labels by the names of outputs: those that name none are of the only one with a loss, or of the scored one."""
    if "" in given:
        return {next(iter(wanted)) if len(wanted) == 1 else names[scored]: given[""]}
    for name in given:
        if name not in names:
            raise DataError(
                f"data.training has labels of '{shortened(name, 100)}', and the model has no output of that name",
                hint=f"{did_you_mean(name, names)}Its outputs are {', '.join(names)}.",
            )
    return given


def _of_task(context: Context, is_scored: bool) -> _Wanted | None:
    kind = None if context.task is None else context.task.kind
    return _Wanted(OF_KINDS[kind], "task") if is_scored and kind in OF_KINDS else None


def _first(
    tries: Sequence[_Wanted],
    model: KerasModel,
    context: Context,
    output: TensorSpec,
    labels: tuple[int, str, Array],
    answers: Array,
) -> tuple[Learned | None, list[str]]:
    """Return the output with the first loss that can be had, and what is to be said of those before."""
    notes, reason = [], None
    for wanted in tries:
        try:
            loss = _loss(wanted, model, context, labels[0], answers)
        except Cannot as error:
            reason = error
            notes.append(f"the loss of '{labels[1]}' in the compiled model is not restored, because {error}")
            continue
        return _fitted(loss, wanted, labels, output, answers, context), notes
    if reason is not None and frameworks.classes_of(output) is None:
        raise StageError(
            f"the loss of '{labels[1]}' in the compiled model is not restored: {reason}", hint=reason.hint
        ) from reason
    return None, notes


def _loss(wanted: _Wanted, model: KerasModel, context: Context, place: int, answers: Array) -> Loss:
    if wanted.source == "model":
        return losses.restored(wanted.spec)
    ignored = context.task.ignored if context.task is not None and context.task.kind == "segmentation" else None
    binary = "binary" in str(wanted.spec).lower()
    clear = logits.is_probability(model, answers, place) if binary else logits.is_distribution(model, answers, place)
    if wanted.source == "task" and binary and answers[0].size == 2 and context.task and context.task.kind == "binary":
        wanted = wanted._replace(spec=OF_KINDS["classification"])  # a score of each of the two
    return losses.named(wanted.spec, KEY, logits=not clear, ignored=ignored)


def _fitted(
    loss: Loss, wanted: _Wanted, labels: tuple[int, str, Array], output: TensorSpec, answers: Array, context: Context
) -> Learned:
    """Check the labels against the form that the loss needs."""
    place, name, y = labels
    assert context.training is not None
    rows = context.training.rows
    if output.dtype != "bfloat16" and np.dtype(output.dtype).kind != "f":
        raise StageError(
            f"recover cannot train the output '{name}' of type {output.dtype} from labels: nothing can be learned through it",
            hint="Give the model before its argmax or rounding: keras.Model(model.inputs, the scores).",
        )
    if len(y) != rows:
        raise DataError(
            f"data.training has {rows:,} rows and {len(y):,} labels of '{name}'", hint="Give one label for each row."
        )
    size, form = answers.shape[1:], y.shape[1:]
    key = f"data.training: the labels of '{name}'"
    told = f"{key} are {y.dtype} of shape {form} for a row, and {loss.name} of answers of shape {size} needs"
    ignored = getattr(loss.of, "ignore_class", None)
    if loss.builtin and loss.name in losses.SPARSE:
        wants = size[:-1]
        if y.dtype.kind not in "iub" or form not in (wants, (*wants, 1)):
            hint = "Number the classes from 0; of one-hot labels take y.argmax(axis=-1)."
            raise DataError(f"{told} integers of shape {wants}, the numbers of classes", hint=hint)
        _check_values(y, key, 0, size[-1] - 1, ignored)
        exact = ignored is None and len(size) == 1 and frameworks.classes_of(output) is not None
        return Learned(place, name, y, loss._replace(of=None) if exact else loss, wanted.weight, wants, "int32")
    numbers = loss.builtin and loss.name not in losses.AS_GIVEN
    same = int(np.prod(form)) == int(np.prod(size)) and y.dtype.kind in "fiub"
    if numbers and not same:
        hint = f"Give a number for each number of the answers, in the shape {size}."
        if y.dtype.kind in "iu" and form in (size[:-1], (*size[:-1], 1)):
            hint = f"Numbers of classes are learned by sparse_categorical_crossentropy. {hint}"
        raise DataError(f"{told} {size}", hint=hint)
    binary = loss.builtin and loss.name in (*losses.BINARY, *losses.ONE_HOT)
    _check_values(y, key, *((0, 1) if binary else (None, None)))
    integers = not same and y.dtype.kind in "iub"
    learned = Learned(place, name, y, loss, wanted.weight, size if same else None, "int32" if integers else "float32")
    _try(learned, answers, weighted=context.training.weights is not None or bool(context.learn.class_weight))
    return learned


def _check_values(
    y: Array, key: str, low: float | None = None, high: float | None = None, ignored: int | None = None
) -> None:
    """Raise DataError for labels that are not finite, or not from `low` to `high`. They may be mapped."""
    for start in range(0, len(y), PART_ROWS):
        part = np.asarray(y[start : start + PART_ROWS])
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            raise DataError(f"{key} hold NaN or infinity", hint="Leave such rows out of data.training.")
        part = part if ignored is None else part[part != ignored]
        if low is not None and high is not None and part.size and not low <= part.min() <= part.max() <= high:
            raise DataError(
                f"{key} go from {part.min()} to {part.max()}, and {low} to {high} is expected",
                hint="Number the classes from 0, as in the training of the model."
                + (" Pixels that count nowhere have the label of [task] ignored." if ignored is not None else ""),
            )


def _try(learned: Learned, answers: Array, *, weighted: bool) -> None:
    """Raise StageError unless the loss of the first rows is a finite number: one of the user's own may be anything."""
    import tensorflow as tf

    try:
        y = tf.constant(learned.take(np.arange(len(answers))))
        weights = tf.ones(len(answers)) if weighted else None
        value = np.asarray(learned.loss.mean(y, tf.constant(answers), weights))
    except EdgepressError:
        raise
    except Exception as error:
        raise StageError(
            f"the loss '{learned.loss.name}' of '{learned.name}' failed on the first rows: {cause_of(error)}",
            hint="It takes (labels, answers) of a batch; name another in [training] loss.",
        ) from error
    if not np.isfinite(value):
        raise StageError(
            f"the loss '{learned.loss.name}' of '{learned.name}' is {value} on the first rows",
            hint="Are the labels of the form that it takes? Name another in [training] loss.",
        )


def _of_classes(place: int, name: str, y: Array, classes: int, rows: int) -> Learned:
    """Cross entropy of an output that is one score for each class."""
    if y.shape != (rows,) or not np.issubdtype(y.dtype, np.integer):
        raise DataError(
            f"the labels of data.training are {y.dtype} of shape {y.shape}, and must be one integer for each of {rows:,} rows",
            hint="Give the number of the class: y.argmax(axis=-1) turns one-hot labels into it; or say the loss in [training] loss.",
        )
    if int(y.min()) < 0 or int(y.max()) >= classes:
        raise DataError(
            f"the labels of data.training go from {y.min()} to {y.max()}, but the model has {classes} classes: 0 to {classes - 1}",
            hint="Number the classes from 0, as in the training of the model.",
        )
    return Learned(place, name, y, Loss(losses.SPARSE[0], None, builtin=True), 1.0, None, "int32")


def _told(found: Sequence[Learned], names: Sequence[str]) -> list[str]:
    """Say what learns by which loss, and what has none; nothing of cross entropy alone, which is what a classifier learns by."""
    if all(each.loss.of is None for each in found):
        return []
    several, told = len(names) > 1, []
    for each in found:
        weight = "" if each.weight == 1 else f", with the weight {each.weight:g}"
        which = f"'{each.name}'" if several else "it"
        told.append(f"{which} learns from labels by {each.loss.name}{weight}")
    without = [f"'{name}'" for name in names if name not in {each.name for each in found}]
    if without:
        told.append(f"{', '.join(without)} learns from no labels, and keeps to the answers of the model as it was")
    return ["; ".join(told)]
