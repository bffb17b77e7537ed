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
        self.not_finite, self.first_not_finite = 0, 0  # rows with NaN or infinity
        self._file = path.open("wb")
        head = _header(rows or 0, shape, self.dtype)
        self._file.write(head)
        self._digest = None if rows is None else hashlib.sha256(head)

    def add(self, part: Array) -> None:
        """Write some more rows, (some, *shape)."""
        part = np.ascontiguousarray(part, self.dtype)
        if self.dtype.kind == "f" and part.size:
            bad = np.flatnonzero(~np.isfinite(part.reshape(len(part), -1)).all(axis=1))
            if len(bad) and not self.not_finite:
                self.first_not_finite = self.rows + int(bad[0])
            self.not_finite += len(bad)
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
        """Raise DataError if any value was NaN or infinite. `name`: of the column; of `x`, messages speak of rows alone."""
        if self.not_finite:
            of = "" if name == "x" else f" of '{name}'"
            raise DataError(
                f"{key}: {self.not_finite:,} of {self.rows:,} rows{of} hold NaN or infinity, the first is row {self.first_not_finite}",
                hint="Remove or repair them; a runtime answers such rows with nonsense.",
            )


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
