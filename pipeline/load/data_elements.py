"""What an iterable gives, one by one: a row, or a batch of rows, of each input, with or without labels."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pipeline.errors import DataError
from pipeline.frameworks import Array
from pipeline.load import data_labels
from pipeline.safe_text import shortened

GIVE = "Give x, (x, y), or a dict of rows by the names of inputs; y is an integer, or a dict of labels by the names of outputs."


class Element(NamedTuple):
    columns: dict[str, Array]  # of the inputs; one of them may hold labels
    labels: Array | None
    is_batch: bool = False

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()))) if self.is_batch else 1

    def rows_of(self) -> dict[str | None, Array]:
        """Return (rows, ...) of each column, and of the labels under None."""
        found: dict[str | None, Array] = dict(self.columns.items())
        if self.labels is not None:
            found[None] = self.labels
        return found if self.is_batch else {name: array[None] for name, array in found.items()}

    def check_names(self, first: "Element", before: int, key: str) -> None:
        """Raise DataError unless it has the same columns as the first."""
        mine, theirs = self.rows_of().keys(), first.rows_of().keys()
        if mine != theirs:
            name = next(iter(mine ^ theirs))
            shown = "labels" if name is None else f"'{shortened(name, 100)}'"
            raise DataError(
                f"{key}: row {before} {'has' if name in mine else 'lacks'} {shown}, unlike the first row",
                hint="Give every row the same inputs.",
            )


def element_of(value: object, text: str, key: str, before: int) -> Element:
    """Return arrays by name, out of x, (x, y), a dict or (dict, y). DataError says what it is instead; `before`: rows were taken."""
    x, y, weights = value, None, None
    if isinstance(value, tuple) or (isinstance(value, list) and _holds_arrays(value)):
        if len(value) not in (1, 2, 3) or (len(value) == 3 and key != "data.training"):
            raise DataError(
                f"{key}: {text} gave {len(value)} values together",
                hint="Several inputs go by their names, in a dict; only training rows have weights, (x, y, weight). "
                + GIVE,
            )
        x, y, weights = (*value, None, None)[:3]
    columns = x if isinstance(x, Mapping) else {"x": x}
    if not columns:
        raise DataError(f"{key}: {text} gave an empty {type(x).__name__}", hint=GIVE)
    columns = {**columns, **data_labels.as_columns(y, weights)}
    labels = None if y is None or isinstance(y, Mapping) else _array(y, text, key, before)
    return Element({str(name): _array(each, text, key, before) for name, each in columns.items()}, labels)


def _holds_arrays(value: list[object]) -> bool:
    """A list of numbers, or of such lists, is one row; a list of arrays is what TFLite's and PyTorch's tools give."""
    return any(
        isinstance(each, Mapping) or (hasattr(each, "shape") and not isinstance(each, np.generic)) for each in value
    )


def _array(value: object, text: str, key: str, before: int) -> Array:
    if np.ma.is_masked(value):
        raise DataError(
            f"{key}: row {before} of {text} is a masked array, whose masked values are not known",
            hint="Fill it, such as with x.filled(0), or leave it out.",
        )
    try:
        found = np.asarray(value)
    except BaseException as error:  # an object's own __array__ may do what it likes
        raise _no_row(value, text, key, before) from error
    if found.dtype == object:
        raise _no_row(value, text, key, before)
    return found


def _no_row(value: object, text: str, key: str, before: int) -> DataError:
    return DataError(
        f"{key}: row {before} of {text} is {type(value).__name__}, which cannot be made into an array", hint=GIVE
    )


def as_batch(element: Element, text: str, key: str) -> Element:
    """Return the same, whose first axes count rows. DataError unless they do."""
    arrays = {**element.columns, **({} if element.labels is None else {"the labels": element.labels})}
    counts = {name: len(array) if array.ndim else None for name, array in arrays.items()}
    if len(set(counts.values())) > 1 or None in counts.values():
        told = ", ".join(f"{name}: {arrays[name].shape}" for name in list(arrays)[:6])
        raise DataError(
            f"{key}: a batch of {text} has different numbers of rows ({told})",
            hint="Batches are expected from it: dataset.batch(32). A function that yields gives rows one by one.",
        )
    return element._replace(is_batch=True)


def is_batch(element: Element, batches: bool) -> bool:
    """Return whether this, the first element, is a batch. `batches`: what gives it usually gives those (keras, tf.data).

    Labels decide where there are any: one for a row, several for a batch.
    """
    columns = element.columns
    named = next((name for name in (data_labels.LABELS, *columns) if name in columns and _says_batch(name)), "")
    labels = element.labels if element.labels is not None else columns.get(named)
    if labels is None:
        return batches
    if labels.ndim == 0:
        return False
    inputs = [array for each, array in columns.items() if not _says_batch(each)]
    return batches or (bool(inputs) and all(array.ndim and len(array) == len(labels) for array in inputs))


def _says_batch(name: str) -> bool:
    return name == data_labels.LABELS or name.startswith(data_labels.NAMED)
