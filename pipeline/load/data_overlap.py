"""Which rows of a set are evaluation rows, too. Of each row 16 bytes are kept."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.frameworks import Array
from pipeline.load.data_columns import parts_of

DIGEST_BYTES = 16
AT_ONCE = 8192  # digests


class Described(NamedTuple):
    """A column by what must be equal for its rows to be equal."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class EvaluationRows:
    """Digests of the evaluation set, taken when they are first needed."""

    def __init__(self, columns: Sequence[tuple[Described, Path]]) -> None:
        self._columns = columns
        self._digests: Array | None = None

    def fresh(self, columns: Sequence[tuple[Described, Path]], rows: int) -> Array | None:
        """Return for each row whether the evaluation set lacks it, bool (rows,). None: the two sets have different columns. An only
        column may have another name in each of them: the model's only input takes both.
        """
        named = len(columns) > 1 or len(self._columns) > 1
        if _comparable(columns, named=named) != _comparable(self._columns, named=named):
            return None
        if self._digests is None:
            self._digests = np.sort(np.fromiter(_digests(self._columns), dtype=f"S{DIGEST_BYTES}"))
        found = np.ones(rows, bool)
        digests = _digests(columns)
        for start in range(0, rows, AT_ONCE):
            some = np.array(list(islice(digests, AT_ONCE)), self._digests.dtype)
            at = np.searchsorted(self._digests, some)
            at[at == len(self._digests)] = 0
            found[start : start + len(some)] = self._digests[at] != some
        return found


def _comparable(columns: Sequence[tuple[Described, Path]], *, named: bool) -> list[Described]:
    """Floats are compared as float32, in which models compute, and a row of (1, 8) with one of (8,)."""
    found = []
    for column, _ in columns:
        shape = column.shape
        while shape[:1] == (1,):
            shape = shape[1:]
        found.append(
            Described(
                column.name if named else "", shape, "float" if column.dtype.startswith("float") else column.dtype
            )
        )
    return sorted(found)


def _digests(columns: Sequence[tuple[Described, Path]]) -> Iterator[bytes]:
    ordered = [path for _, path in sorted(columns, key=lambda each: each[0].name)]
    for row in zip(*map(_rows, ordered), strict=True):
        content = hashlib.sha256()
        for each in row:
            content.update(each)
        yield content.digest()[:DIGEST_BYTES]


def _rows(path: Path) -> Iterator[bytes]:
    for part in parts_of(path):
        with np.errstate(over="ignore"):  # told when they are brought to the model
            compared = part.astype(np.float32) if part.dtype.kind == "f" else part
        for row in compared:
            yield row.tobytes()


def kept(path: Path, fresh: Array) -> Iterator[Array]:
    """Yield the rows of a column that are kept."""
    start = 0
    for part in parts_of(path):
        yield part[fresh[start : start + len(part)]]
        start += len(part)
