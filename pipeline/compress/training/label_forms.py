"""The form of labels that a loss needs, and the labels of an output as its loss takes them."""

from typing import NamedTuple

import numpy as np

from pipeline import frameworks
from pipeline.compress.training import losses
from pipeline.compress.training.losses import Loss
from pipeline.errors import DataError, EdgepressError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.causes import cause_of
from pipeline.records import TensorSpec

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
    one_hot: bool = False  # labels are numbers of classes, and the loss takes a number for each class

    def take(self, rows: Array) -> Array:
        """Return the labels of these rows, as the loss takes them."""
        if self.one_hot and self.row is not None:
            numbers = np.asarray(self.y[rows]).reshape(-1)
            one_hot: Array = np.eye(self.row[-1], dtype=np.float32)[numbers]
            return one_hot.reshape(len(rows), *self.row)
        found = np.ascontiguousarray(self.y[rows], self.dtype)
        return found if self.row is None else found.reshape(len(found), *self.row)


class Given(NamedTuple):
    """The labels that were given for an output."""

    place: int
    name: str
    y: Array  # (rows, ...)
    output: TensorSpec
    answers: Array  # of the model to some of the rows
    rows: int  # of the training rows
    weighted: bool  # rows have weights

    @property
    def size(self) -> tuple[int, ...]:
        """The shape of a row's answers."""
        return self.answers.shape[1:]

    @property
    def form(self) -> tuple[int, ...]:
        """The shape of a row's labels."""
        return self.y.shape[1:]

    @property
    def are_classes(self) -> bool:
        """Return whether there is an integer in place of each row of scores."""
        return self.y.dtype.kind in "iub" and self.form in (self.size[:-1], (*self.size[:-1], 1))


def fitted(given: Given, loss: Loss, weight: float, *, of_file: bool) -> Learned:
    """Return the output with the labels as the loss needs them. DataError, where they cannot be that.

    `of_file`: the loss is the compiled model's, which may have been trained with one-hot rows where there are numbers of classes now.
    """
    place, name, y, size = given.place, given.name, given.y, given.size
    if given.output.dtype != "bfloat16" and np.dtype(given.output.dtype).kind != "f":
        raise StageError(
            f"recover cannot train the output '{name}' of type {given.output.dtype} from labels: nothing can be learned through it",
            hint="Give the model before its argmax or rounding: keras.Model(model.inputs, the scores).",
        )
    if len(y) != given.rows:
        raise DataError(
            f"data.training has {given.rows:,} rows and {len(y):,} labels of '{name}'",
            hint="Give one label for each row.",
        )
    key = f"data.training: the labels of '{name}'"
    told = f"{key} are {y.dtype} of shape {given.form} for a row, and {loss.name} of answers of shape {size} needs"
    sparse = loss.builtin and loss.name in losses.SPARSE
    numbers = loss.builtin and not sparse and loss.name not in losses.AS_GIVEN
    same = int(np.prod(given.form)) == int(np.prod(size)) and y.dtype.kind in "fiub"
    one_hot = numbers and not same and of_file and given.are_classes and size[-1] > 1
    if sparse or one_hot:
        if not given.are_classes:
            hint = "Number the classes from 0; of one-hot labels take y.argmax(axis=-1)."
            raise DataError(f"{told} integers of shape {size[:-1]}, the numbers of classes", hint=hint)
        _check_values(y, key, 0, size[-1] - 1, loss.ignored)
        plain = sparse or (loss.name == losses.ONE_HOT[0] and not getattr(loss.of, "label_smoothing", 0))
        exact = plain and loss.ignored is None and frameworks.classes_of(given.output) is not None
        if exact or sparse:
            return Learned(place, name, y, loss._replace(of=None) if exact else loss, weight, size[:-1], "int32")
        return Learned(place, name, y, loss, weight, size, "float32", one_hot=True)
    if numbers and not same:
        hint = f"Give a number for each number of the answers, in the shape {size}."
        if given.are_classes:
            hint = f"Numbers of classes are learned by sparse_categorical_crossentropy. {hint}"
        raise DataError(f"{told} {size}", hint=hint)
    bounded = loss.builtin and loss.name in (*losses.BINARY, *losses.ONE_HOT)
    _check_values(y, key, *((0, 1) if bounded else (None, None)))
    integers = not same and y.dtype.kind in "iub"
    learned = Learned(place, name, y, loss, weight, size if same else None, "int32" if integers else "float32")
    _try(learned, given.answers, weighted=given.weighted)
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


def of_classes(place: int, name: str, y: Array, classes: int, rows: int) -> Learned:
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
