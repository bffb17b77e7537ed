"""Rows on their way into the store: each column is written to a scratch file, checked on the way, and counted."""

import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline import units
from pipeline.errors import DataError
from pipeline.frameworks import Array
from pipeline.load import data_labels
from pipeline.load.data_columns import ColumnFile, ColumnWriter, parts_of, row_bytes, rows_at_once, stored_dtype
from pipeline.load.data_elements import Element
from pipeline.safe_text import shortened

KEEP_FREE_BYTES = 256 * 2**20  # of the disk, when rows come without an end
LOOK_BYTES = 32 * 2**20  # how much is written between two looks at the disk
NEWS_S = 1.0


class Whole(NamedTuple):
    """An array whose number of rows is known before they are read."""

    shape: tuple[int, ...]  # rows first
    dtype: np.dtype[np.generic]
    parts: Callable[[], Iterator[Array]]  # in order, some rows each


class Staged(NamedTuple):
    """All columns of one set, and its labels: int64 (rows,), or those of a task; those of each output by its name; weights (rows,)."""

    columns: dict[str, ColumnFile]
    labels: ColumnFile | None
    named: Mapping[str, ColumnFile] = {}
    weights: ColumnFile | None = None
    one_hot: int | None = None  # labels were rows of this many zeros and ones


class Stage:
    """Takes the rows of one set. `key` is where the plan names it; `tell` gets news; `nonfinite`: rows may hold NaN and infinity;
    `targets`: labels are numbers of any form, which their task checks.
    """

    def __init__(
        self, folder: Path, key: str, tell: Callable[[str], None], *, nonfinite: bool = False, targets: bool = False
    ) -> None:
        self.folder, self.key, self.tell = folder, key, tell  # an empty folder
        self.nonfinite, self.targets = nonfinite, targets
        self._files = map(str, itertools.count())

    def whole(self, arrays: Mapping[str, Whole], labels: Whole | None = None) -> Staged:
        """Take arrays by their names. `labels`: where they were given as such; else one of the arrays may be."""
        name = None if labels else data_labels.name_of_labels(arrays)
        inputs = {each: array for each, array in arrays.items() if each != name}
        for each, array in inputs.items():
            check_kind(array.shape, array.dtype, each, self.key)
        rows = next((array.shape[0] for array in inputs.values()), 0)
        found = arrays[name] if name else labels
        if found is not None:
            self._check_labels(found.shape, found.dtype, rows)
        check_counts({each: array.shape[0] for each, array in inputs.items()}, self.key)
        size_bytes = sum(row_bytes(each.shape, each.dtype) for each in (*inputs.values(), *([found] if found else ())))
        self._check_room(size_bytes)
        columns = {
            each: self._column(each, array, finite=not each.startswith(data_labels.NAMED))
            for each, array in inputs.items()
        }
        return self._labelled(columns, found and self._column(name or "y", found, finite=False), rows, name)

    def _column(self, name: str, array: Whole, *, finite: bool = True) -> ColumnFile:
        writer = ColumnWriter(self.folder / next(self._files), array.shape[1:], array.dtype, array.shape[0])
        self.tell(f"{name}: {units.counted(array.shape[0], 'row')}")
        for part in array.parts():
            writer.add(part)
        if finite and not self.nonfinite:
            writer.check_finite(name, self.key)
        return writer.done()

    def rows(self, elements: Iterator[Element]) -> Staged:
        """Take rows, or batches of them, as long as they come."""
        first = next(elements, None)
        if first is None:
            raise DataError(
                f"{self.key} gave no rows",
                hint="An iterator that was used up gives nothing again: let the function make it, each time that it is called.",
            )
        name = data_labels.name_of_labels(first.columns) if first.labels is None else None
        columns = {
            each: _Growing(self.folder / next(self._files), each, row, self.key)
            for each, row in first.rows_of().items()
        }
        for each, column in columns.items():
            if each in (None, name):
                self._check_labels((1, *column.shape), column.dtype, 1)
            else:
                check_kind((1, *column.shape), column.dtype, str(each), self.key)
        taken, written, looked, told = 0, 0, 0, time.monotonic()
        for element in itertools.chain((first,), elements):
            element.check_names(first, taken, self.key)
            for each, row in element.rows_of().items():
                written += columns[each].add(row, taken)
            taken += element.rows
            if written - looked > LOOK_BYTES:
                looked = written
                self._check_endless(taken, written)
            if time.monotonic() - told > NEWS_S:
                told = time.monotonic()
                self.tell(f"{units.counted(taken, 'row')} so far")
        files = {}
        for each, column in columns.items():
            column.flush()
            labels_of_output = str(each).startswith(data_labels.NAMED)
            if each not in (None, name) and not labels_of_output and not self.nonfinite:
                column.writer.check_finite(str(each), self.key)
            files[each] = column.writer.done()
        labels = files.pop(name) if name is not None else files.pop(None, None)
        return self._labelled({str(each): file for each, file in files.items()}, labels, taken, name)

    def _labelled(
        self, columns: dict[str, ColumnFile], labels: ColumnFile | None, rows: int, name: str | None
    ) -> Staged:
        """Decide what `labels` are: what is called y and cannot be labels is a column of that name."""
        named = {each: columns[each] for each in columns if data_labels.is_no_input(each, self.key)}
        columns = {each: file for each, file in columns.items() if each not in named}
        weights = named.pop(data_labels.WEIGHTS, None)
        found = self._unnamed(columns, labels, rows, name)
        data_labels.check_named(named, found.labels is not None, weights and weights.shape, self.key)
        of_outputs = {each.removeprefix(data_labels.NAMED): file for each, file in named.items()}
        return found._replace(named=of_outputs, weights=weights)

    def _unnamed(
        self, columns: dict[str, ColumnFile], labels: ColumnFile | None, rows: int, name: str | None
    ) -> Staged:
        if not columns:
            raise DataError(
                f"{self.key} has no array named x, only {name or 'labels'}",
                hint="Give the rows as x, or by the names of the model's inputs.",
            )
        if labels is None:
            return Staged(columns, None)
        if self.targets:
            if labels.rows != rows:
                raise data_labels.other_count(rows, labels.rows, self.key)
            return Staged(columns, labels)
        if name != data_labels.MAYBE_LABELS and self._are_one_hot(labels, rows):
            return Staged(columns, self._classes_of(labels, rows), one_hot=labels.shape[0])
        array: Array = np.load(labels.path, mmap_mode="r", allow_pickle=False)
        error = data_labels.labels_error(array, rows, self.key)
        if error is None:
            writer = ColumnWriter(self.folder / next(self._files), (), np.dtype(np.int64), rows)
            for part in data_labels.label_parts(parts_of(labels.path)):
                writer.add(part)
            return Staged(columns, writer.done())
        if (
            name != data_labels.MAYBE_LABELS
            or not data_labels.may_be_input(array)
            or (_has_nan(labels) and not self.nonfinite)
        ):
            raise error
        check_counts({each: file.rows for each, file in columns.items()} | {name: labels.rows}, self.key)
        return Staged({**columns, name: labels}, None)

    def _are_one_hot(self, labels: ColumnFile, rows: int) -> bool:
        """Whether they can be nothing else: rows of an array that is called y may be those of an input."""
        return labels.rows == rows and len(labels.shape) == 1 and data_labels.are_one_hot(parts_of(labels.path))

    def _classes_of(self, labels: ColumnFile, rows: int) -> ColumnFile:
        writer = ColumnWriter(self.folder / next(self._files), (), np.dtype(np.int64), rows)
        for part in data_labels.classes_of_one_hot(parts_of(labels.path)):
            writer.add(part)
        return writer.done()

    def _check_labels(self, shape: tuple[int, ...], dtype: np.dtype[np.generic], rows: int) -> None:
        """Raise what is wrong with labels that are not even numbers, before they are written."""
        if dtype.kind not in "fiub" or not shape:
            error = data_labels.labels_error(np.broadcast_to(np.zeros((), dtype), shape), rows, self.key)
            if error is not None:
                raise error

    def _check_room(self, size_bytes: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if size_bytes > free:
            raise DataError(
                f"{self.key} has {units.size(size_bytes)} of rows, and the disk of {self.folder.parent} has {units.size(free)} left",
                hint="Make room there (`edgepress clean`), or name a state folder on another disk with --state DIR.",
            )

    def _check_endless(self, rows: int, size_bytes: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < KEEP_FREE_BYTES:
            raise DataError(
                f"{self.key} has given {units.counted(rows, 'row')} ({units.size(size_bytes)}) and not ended, and the disk of "
                f"{self.folder.parent} has {units.size(free)} left",
                hint="Let it end, such as with itertools.islice or .take(n); or name a state folder on a larger disk with --state DIR.",
            )


class _Growing:
    """A column that gets rows one by one. `name` None: labels."""

    def __init__(self, path: Path, name: str | None, first: Array, key: str) -> None:
        """`first`: (some, ...), whose shape and dtype the rows to come must have."""
        self.name, self.key = name or "the labels", key
        self.shape, self.dtype = first.shape[1:], first.dtype
        self._kept: Array | None = None
        self._filled = 0
        self._path = path

    @property
    def writer(self) -> ColumnWriter:
        if self._kept is None:
            self._kept = np.empty((rows_at_once(self.shape, self.dtype), *self.shape), stored_dtype(self.dtype))
            self._writer = ColumnWriter(self._path, self.shape, self.dtype)
        return self._writer

    def add(self, rows: Array, before: int) -> int:
        """Take (some, *shape) rows, which are copied: what gives them may use its memory again. Return their bytes."""
        writer = self.writer
        if rows.shape[1:] != self.shape:
            raise DataError(
                f"{self.key}: row {before} of {self.name} has shape {rows.shape[1:]}, and the rows before it {self.shape}",
                hint="Rows of one input have one shape: cut or pad them.",
            )
        if rows.dtype != self.dtype and not np.can_cast(rows.dtype, self.dtype, "safe"):
            raise DataError(
                f"{self.key}: row {before} of {self.name} is {rows.dtype}, and the rows before it {self.dtype}",
                hint="Rows of one input have one dtype: give them with .astype('float32'), for example.",
            )
        assert self._kept is not None
        for start in range(0, len(rows), len(self._kept)):
            part = rows[start : start + len(self._kept)]
            if self._filled + len(part) > len(self._kept):
                self.flush()
            if len(part) == len(self._kept):
                writer.add(part)
            else:
                self._kept[self._filled : self._filled + len(part)] = part
                self._filled += len(part)
        return rows.nbytes

    def flush(self) -> None:
        if self._kept is not None and self._filled:
            self._writer.add(self._kept[: self._filled])
            self._filled = 0


def check_kind(shape: tuple[int, ...], dtype: np.dtype[np.generic], name: str, key: str) -> None:
    """Raise DataError unless they are rows of numbers. `shape`: with the rows first."""
    if not shape or not shape[0]:
        raise DataError(
            f"{key} is empty: its {name} has shape {shape}"
            if shape
            else f"{key}: {name} has dtype {dtype} and shape {shape}, which is not an array of rows of values",
            hint=f"{name} is an array of shape (rows, ...), with at least one row."
            if shape or name == "x"
            else f'Give it as many rows as the others; one value for all rows stands in [model]: constants = {{ "{name}" = ... }}.',
        )
    if dtype.kind not in "fiub":
        text = "Cut a model that takes text after its TextVectorization or StringLookup, and give it the numbers. " * (
            dtype.kind in "US"
        )
        raise DataError(f"{key}: {name} is of dtype {dtype}, not numbers", hint=f"{text}Give float32 or integer rows.")


def check_counts(rows: Mapping[str, int], key: str) -> None:
    """Raise DataError unless all columns have equally many rows."""
    (first, count), *others = rows.items() if rows else (("", 0),)
    for name, other in others:
        if other != count and data_labels.is_no_input(name, key):
            raise data_labels.other_count(count, other, key, name)
        if other != count:
            raise DataError(
                f"{key} has {units.counted(count, 'row')} of '{shortened(first, 100)}' but {other:,} of '{shortened(name, 100)}'",
                hint="Give each input a value for each row; one value for all rows stands in [model]: "
                f'constants = {{ "{shortened(first if count == 1 else name, 100)}" = ... }}.',
            )


def _has_nan(file: ColumnFile) -> bool:
    return file.dtype.kind == "f" and not all(np.isfinite(part).all() for part in parts_of(file.path))
