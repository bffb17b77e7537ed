"""Some evaluation rows as they are before [task] preprocess, for the board: drawn by the seed, and bounded in number and size."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.frameworks import Array
from pipeline.records import Artifact, Column, RowsBefore
from pipeline.store import Store

MOST_ROWS, MOST_BYTES = 32, 32 * 2**20  # they rotate; a single row may be larger


def drawn(files: Mapping[str, Path], seed: int, store: Store) -> RowsBefore:
    """Return some rows of these columns, (rows, ...) .npy files by the names of the columns."""
    columns = {name: np.load(path, mmap_mode="r", allow_pickle=False) for name, path in files.items()}
    rows = len(next(iter(columns.values())))
    row_bytes = sum(each[:1].nbytes for each in columns.values())
    count = min(rows, MOST_ROWS, max(1, MOST_BYTES // max(1, row_bytes)))
    indices = np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))
    found = [
        Column(name=name, artifact=_put(each[indices], store), shape=each.shape[1:], dtype=each.dtype.name)
        for name, each in columns.items()
    ]
    return RowsBefore(columns=tuple(found), indices=_put(indices.astype(np.int64), store), rows=count)


def _put(array: Array, store: Store) -> Artifact:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return store.put_bytes(file.getvalue(), "npy")
