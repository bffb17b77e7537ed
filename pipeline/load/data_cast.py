"""Bring the rows of a column to another dtype, part by part."""

import numpy as np

from pipeline.errors import DataError
from pipeline.frameworks import Array
from pipeline.load.data_columns import ColumnWriter, parts_of
from pipeline.records import Column
from pipeline.safe_text import shortened
from pipeline.store import Store


def cast_column(column: Column, dtype: str, store: Store, key: str) -> Column:
    """Return the column in `dtype`, kept in the store. DataError if some rows hold numbers that it cannot hold: of a float those
    beyond its largest, of any other type those that would change.
    """
    target = np.dtype(dtype)
    if np.dtype(column.dtype) == target:
        return column
    rows, bad, first = 0, 0, 0
    with store.scratch() as scratch:
        writer = None
        for part in parts_of(store.path(column.artifact)):
            writer = writer or ColumnWriter(scratch / "column", part.shape[1:], target)
            with np.errstate(all="ignore"):  # told below
                cast = part.astype(target)
            lost = _lost(part, cast).reshape(len(part), -1).any(axis=1)
            if lost.any():
                first = first if bad else rows + int(lost.argmax())
                bad += int(lost.sum())
            rows += len(part)
            writer.add(cast)
        if bad or writer is None:
            raise _beyond(column.name, bad, rows, first, target, key)
        found = writer.done()
        artifact = store.put_file(found.path, "npy", found.sha256)
    return Column(name=column.name, artifact=artifact, shape=found.shape, dtype=dtype, constant=column.constant)


def _lost(part: Array, cast: Array) -> Array:
    lost: Array = (np.isinf(cast) & np.isfinite(part)) if cast.dtype.kind == "f" else (cast.astype(part.dtype) != part)
    return lost


def _beyond(name: str, bad: int, rows: int, first: int, target: np.dtype[np.generic], key: str) -> DataError:
    them = "them" if name == "x" else f"those of '{shortened(name, 100)}'"
    if target.kind == "f":
        why = "in which models compute" if target == np.float32 else "which this input takes"
        what, hint = f"numbers beyond {target}, {why}", f"Scale {them} as they were scaled for training."
    else:
        what, hint = f"numbers that {target}, which this input takes, cannot hold", f"Prepare {them} as for training."
    return DataError(f"{key}: {bad:,} of {rows:,} rows hold {what}; the first is row {first}", hint=hint)
