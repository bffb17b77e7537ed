"""Labels: one integer for each row, the number of its class."""

from collections.abc import Collection, Iterator

import numpy as np

from pipeline import units
from pipeline.errors import DataError
from pipeline.frameworks import Array

LABELS, MAYBE_LABELS = "labels", "y"
"""Names of arrays that hold labels: `y` does unless there is `labels`, or it cannot be labels. A model may have an input named y."""


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


def other_count(rows: int, labels: int, key: str) -> DataError:
    return DataError(
        f"{key} has {units.counted(rows, 'row')} but {units.counted(labels, 'label')}",
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
    if y.ndim == 1 and y.dtype.kind in "fb" and np.array_equal(y, np.rint(y)):
        return f"They are whole numbers: give them as integers, y.astype('int64').{input_}"
    if y.ndim == 2:
        return f"Give the number of the class from 0; of one-hot rows take y.argmax(axis=1).{input_}"
    return "Give the number of the class from 0; leave y out for a model that is not a classifier."
