"""Rows from "module:function" next to the plan: arrays, or something that gives rows one by one."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline import functions
from pipeline.errors import DataError
from pipeline.frameworks import Array
from pipeline.load import data_iterables, data_labels
from pipeline.load.data_columns import rows_at_once
from pipeline.load.data_iterables import failed, words_of
from pipeline.load.data_stage import Stage, Staged, Whole
from pipeline.safe_text import shortened


def staged(text: str, key: str, folder: Path, stage: Stage) -> Staged:
    """Call the function, and take all that it returns or gives, once: the copy in the store is what every later step reads."""
    answer = _called(text, key, folder)
    if data_iterables.is_iterable(answer):
        return stage.rows(data_iterables.elements(answer, text, key))
    x, y, weights = answer, None, None
    if isinstance(answer, tuple | list) and len(answer) == 2:
        x, y = answer
    elif isinstance(answer, tuple) and len(answer) == 3 and key == "data.training":
        x, y, weights = answer
    elif isinstance(answer, tuple | list) and not answer:
        raise DataError(f"{key} is empty: {text} returned an empty {type(answer).__name__}", hint="Return rows.")
    if isinstance(answer, list) and all(isinstance(each, Mapping | tuple) for each in answer):
        rows = _of_list(answer)
        if rows is None:
            return stage.rows(data_iterables.elements(answer, text, key))
        x, y, weights = rows, None, None
    columns = x if isinstance(x, Mapping) else {"x": x}
    if not columns:
        raise DataError(f"{key}: {text} returned an empty {type(x).__name__}", hint="Return rows for each input.")
    columns = {**columns, **data_labels.as_columns(y, weights)}
    arrays = {str(name): _array(each, text, key, str(name)) for name, each in columns.items()}
    labels = None if y is None or isinstance(y, Mapping) else _array(y, text, key, "the labels")
    return stage.whole({name: whole(each) for name, each in arrays.items()}, None if labels is None else whole(labels))


def whole(array: Array) -> Whole:
    """Return an array that is there, in memory or mapped from a file."""
    at_once = rows_at_once(array.shape[1:], array.dtype)
    return Whole(
        array.shape,
        array.dtype,
        lambda: (np.asarray(array[start : start + at_once]) for start in range(0, len(array), at_once)),
    )


def _of_list(rows: list[object]) -> Array | None:
    """Return a list of tuples that is an array, as one of numbers is; None: it is a list of rows."""
    try:
        found = np.asarray(rows)
    except (ValueError, TypeError):
        return None
    return None if found.dtype == object else found


def _array(value: object, text: str, key: str, name: str) -> Array:
    if np.ma.is_masked(value):
        raise DataError(
            f"{key}: {text} returned a masked array, whose masked values are not known",
            hint="Fill it, such as with x.filled(0), or leave those rows out.",
        )
    try:
        found = np.asarray(value)
    except BaseException as error:  # an object's own __array__ may do what it likes
        raise DataError(
            f"{key}: {text} returned {type(value).__name__} which cannot be made into an array: {words_of(error)}",
            hint="Return (x, y): an array of rows and an array of integer labels; or x alone.",
        ) from error
    if found.dtype == object and found.ndim == 0:
        raise _no_array(value, text, key, name)
    return found


def _no_array(value: object, text: str, key: str, name: str) -> DataError:
    if value is None:
        where = "" if name == "x" else f" for '{shortened(name, 100)}'"
        return DataError(
            f"{key}: {text} returned nothing (None){where}", hint="Let it end with `return x, y`, or `return x`."
        )
    kind = type(value).__name__
    told = "a generator" if kind == "generator" else f"an object of type {kind}"
    return DataError(
        f"{key}: {text} returned {told}, not an array of rows",
        hint="Return one array of rows (and one of labels); or return the generator or dataset alone, and let it give (x, y) for each row.",
    )


def _called(text: str, key: str, folder: Path) -> object:
    function = functions.loaded(text, folder, key)
    try:
        return function()
    except BaseException as error:  # what a user's function raises can be anything
        raise failed(text, key, error) from error
