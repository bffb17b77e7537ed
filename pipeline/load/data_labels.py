"""Labels: one integer for each row, the number of its class."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from pipeline import units
from pipeline.errors import DataError
from pipeline.frameworks import Array
from pipeline.safe_text import shortened

LABELS, MAYBE_LABELS = "labels", "y"
"""Names of arrays that hold labels: `y` does unless there is `labels`, or it cannot be labels. A model may have an input named y."""


NAMED = "labels."
"""With the name of an output after it: what holds that output's labels, where there are several outputs."""

WEIGHTS = "sample_weight"
"""The array that says how much each training row counts."""


def is_no_input(name: str, key: str) -> bool:
    """Return whether an array of this name holds labels of one output, or weights, and never rows of an input."""
    return name.startswith(NAMED) or (name == WEIGHTS and key == "data.training")


def name_of_labels(names: Collection[str]) -> str | None:
    """Return which of these arrays may hold the labels."""
    return next((name for name in (LABELS, MAYBE_LABELS) if name in names), None)


def labels_error(y: Array, rows: int, key: str) -> DataError | None:
    """Return what keeps an array from being the labels of this number of rows; None: nothing. `key` is where the plan names it."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "iu":
        return DataError(
            f"{key}: the labels are {y.dtype} of shape {y.shape}, not one integer for each row", hint=_hint(y)
        )
    if len(y) != rows:
        return other_count(rows, len(y), key)
    if y.dtype == np.uint64 and y.size and int(y.max()) > np.iinfo(np.int64).max:
        return DataError(f"{key}: its largest label is {int(y.max())}, which is not a class", hint=_hint(y))
    return None


def as_columns(y: object, weights: object) -> dict[str, object]:
    """Return labels by the names of outputs, and weights, as the columns that they are in a file."""
    found = {f"{NAMED}{name}": each for name, each in y.items()} if isinstance(y, Mapping) else {}
    return found if weights is None else {**found, WEIGHTS: weights}


def check_named(names: Collection[str], unnamed: bool, weights: tuple[int, ...] | None, key: str) -> None:
    """Raise DataError for labels with and without the name of an output; `weights` is the shape of a row's weight."""
    if names and unnamed:
        raise DataError(
            f"{key} has labels of the output '{next(iter(names)).removeprefix(NAMED)}', and labels that name none",
            hint=f"Give all labels by the names of their outputs: {NAMED}NAME in a file, or (x, {{'NAME': labels}}) from a function.",
        )
    if weights not in (None, (), (1,)):
        raise DataError(
            f"{key}: {WEIGHTS} has the shape {weights} for a row, and is one number for each row",
            hint="Give an array of shape (rows,): 1 counts as usual, 2 as two such rows, 0 not at all.",
        )


def other_count(rows: int, labels: int, key: str, name: str = "") -> DataError:
    of = f" in '{shortened(name, 100)}'" if name else ""
    return DataError(
        f"{key} has {units.counted(rows, 'row')} but {units.counted(labels, 'label')}{of}",
        hint="Give one label for each row.",
    )


def may_be_input(y: Array) -> bool:
    """Return whether an array that is not labels may be rows of an input: numbers, and not integers of which there are too many
    or too few.
    """
    return y.dtype.kind in "fiub" and y.ndim > 0 and (y.ndim > 1 or y.dtype.kind in "fb")


def label_parts(parts: Iterator[Array]) -> Iterator[Array]:
    """Yield labels as they are kept: int64, one axis."""
    for part in parts:
        yield part.reshape(len(part)).astype(np.int64)


def are_one_hot(parts: Iterator[Array]) -> bool:
    """Return whether rows of labels, (some, classes), have a single 1 among zeros: which of them is the class."""
    return all(
        part.ndim == 2
        and part.shape[1] > 1
        and bool(((part == 0) | (part == 1)).all() and (part.sum(axis=1) == 1).all())
        for part in parts
    )


def classes_of_one_hot(parts: Iterator[Array]) -> Iterator[Array]:
    """Yield the place of the 1 in each row, int64, one axis."""
    for part in parts:
        yield part.argmax(axis=1).astype(np.int64)


def _hint(y: Array) -> str:
    input_ = " If they are rows of a second input: give all rows by the names of the inputs, in a dict or an .npz file."
    whole = y.dtype.kind in "iub" or (y.dtype.kind == "f" and np.array_equal(y, np.rint(y)))
    if y.ndim == 1 and whole and y.dtype.kind in "fb":
        return f"They are whole numbers: give them as integers, y.astype('int64').{input_}"
    if y.ndim == 2 and np.isin(y, (0, 1)).all():
        return f'Of several classes for a row, each 0 or 1: [task] kind = "multilabel".{input_}'
    if y.ndim in (1, 2) and y.dtype.kind == "f" and not whole:
        return f'A class is an integer from 0. Of numbers that the model should answer: [task] kind = "regression".{input_}'
    if y.ndim > 2 and whole:
        return f'Of a class for each pixel: [task] kind = "segmentation".{input_}'
    return (
        "Give the number of the class from 0. Labels of another form need [task] kind, or, to be learned from, [training] loss; else "
        f"leave y out for a model that is not a classifier.{input_}"
    )
