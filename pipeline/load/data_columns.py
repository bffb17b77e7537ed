"""Columns of rows as .npy files, written and read part by part: they may be larger than the memory."""

import hashlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.errors import DataError
from pipeline.frameworks import Array

PART_BYTES = 4 * 2**20  # what is held at once of a column; one row, where that has more
MOST_AT_ONCE = 8192  # rows


class ColumnFile(NamedTuple):
    """A column that is written: (rows, *shape), where `shape` is of one row."""

    path: Path
    rows: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    sha256: str

    @property
    def size_bytes(self) -> int:
        return self.rows * row_bytes(self.shape, self.dtype)


def row_bytes(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> int:
    return math.prod(shape) * dtype.itemsize


def rows_at_once(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> int:
    """Return how many rows of this shape are held at once."""
    return min(MOST_AT_ONCE, max(1, PART_BYTES // max(1, row_bytes(shape, dtype))))


def stored_dtype(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """Return it in the byte order of this machine; an extended float, which no runtime takes, as a double."""
    return np.dtype(np.float64) if dtype.kind == "f" and dtype.itemsize > 8 else dtype.newbyteorder("=")


class ColumnWriter:
    """Write a column. Where `rows` is known at the start, it is hashed on the way; else it is read once more at the end."""

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic], rows: int | None = None
    ) -> None:
        self.path, self.shape, self.dtype = path, shape, stored_dtype(dtype)
        self.rows = 0
        self._bad, self._masked = _Tally(), _Tally()  # rows with NaN or infinity; those with -infinity alone
        self._file = path.open("wb")
        head = _header(rows or 0, shape, self.dtype)
        self._file.write(head)
        self._digest = None if rows is None else hashlib.sha256(head)

    def add(self, part: Array) -> None:
        """Write some more rows, (some, *shape)."""
        part = np.ascontiguousarray(part, self.dtype)
        if self.dtype.kind == "f" and part.size:
            values = part.reshape(len(part), -1)
            finite = np.isfinite(values)
            if not finite.all():
                right = (finite | np.isneginf(values)).all(axis=1)
                self._bad.add(np.flatnonzero(~right), self.rows)
                self._masked.add(np.flatnonzero(right & ~finite.all(axis=1)), self.rows)
        content = part.data.cast("B") if part.size else b""
        self._file.write(content)
        if self._digest is not None:
            self._digest.update(content)
        self.rows += len(part)

    def done(self) -> ColumnFile:
        if self._digest is None:  # numpy leaves room in a header for more rows, so it stays as long
            self._file.seek(0)
            self._file.write(_header(self.rows, self.shape, self.dtype))
        self._file.close()
        if self._digest is None:
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        else:
            digest = self._digest
        return ColumnFile(self.path, self.rows, self.shape, self.dtype, digest.hexdigest())

    def check_finite(self, name: str, key: str) -> None:
        """Raise DataError if any value was NaN or infinite. `name`: of the column; of `x`, messages speak of rows alone.

        An evaluation row of another input may hold -infinity: so masks of attention are written.
        """
        evaluation = key == "data.evaluation"
        mask = name != "x" and evaluation
        found = [self._bad] if mask else [self._bad, self._masked]
        count = sum(each.rows for each in found)
        if count:
            of, first = "" if name == "x" else f" of '{name}'", min(each.first for each in found if each.rows)
            raise DataError(
                f"{key}: {count:,} of {self.rows:,} rows{of} hold NaN or infinity, the first is row {first}",
                hint="Remove or repair them; a runtime answers such rows with nonsense."
                + (
                    " Where the model takes them, such as NaN for a missing value: [data] nonfinite = true."
                    if evaluation
                    else ""
                ),
            )


class _Tally:
    def __init__(self) -> None:
        self.rows = self.first = 0

    def add(self, places: Array, before: int) -> None:
        """`places`: of the rows in a part; `before`: the rows before that part."""
        if len(places) and not self.rows:
            self.first = before + int(places[0])
        self.rows += len(places)


def _header(rows: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> bytes:
    head = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(head, {"descr": descr, "fortran_order": False, "shape": (rows, *shape)})
    return head.getvalue()


def parts_of(path: Path) -> Iterator[Array]:
    """Yield the rows of a column that was written here, some at a time. It is read, not mapped: a map takes address space."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        (rows, *shape), _, dtype = np.lib.format.read_array_header_1_0(file)
        at_once = rows_at_once(tuple(shape), dtype)
        for start in range(0, rows, at_once):
            count = min(at_once, rows - start)
            yield np.fromfile(file, dtype, count * math.prod(shape)).reshape(count, *shape)
