"""[task] preprocess: rows of every set, some at a time, through a function of the user's own before anything else sees them."""

from pathlib import Path

import numpy as np

from pipeline.errors import DataError
from pipeline.load.data_columns import ColumnWriter, rows_at_once
from pipeline.load.data_stage import Stage, Staged, check_kind
from pipeline.quality.own import OnRows
from pipeline.quality.task import Unfit

KEY = "task.preprocess"


def preprocessed(staged: Staged, reference: str, folder: Path, stage: Stage) -> Staged:
    """Return the columns that the function gives for those that were staged; labels stay as they are. DataError where it fails."""
    columns = {name: np.load(file.path, mmap_mode="r", allow_pickle=False) for name, file in staged.columns.items()}
    rows = next(iter(staged.columns.values())).rows
    at_once = min(rows_at_once(file.shape, file.dtype) for file in staged.columns.values())
    writers: dict[str, ColumnWriter] = {}
    try:
        function = OnRows(reference, KEY, folder)
        for start in range(0, rows, at_once):
            given = function({name: np.array(each[start : start + at_once]) for name, each in columns.items()})
            for name, each in given.items():
                if name not in writers:
                    check_kind((rows, *each.shape[1:]), each.dtype, name, KEY)
                    path = stage.folder / f"preprocessed-{len(writers)}"
                    writers[name] = ColumnWriter(path, each.shape[1:], each.dtype, rows)
                writers[name].add(each)
    except Unfit as error:
        raise DataError(f"{error.key}: {error} ({stage.key})", hint=error.hint) from error
    for name, writer in writers.items():
        if not stage.nonfinite:
            writer.check_finite(name, stage.key)
    return staged._replace(columns={name: writer.done() for name, writer in writers.items()})
