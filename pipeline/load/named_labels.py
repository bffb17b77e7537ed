"""Labels that were given by the names of outputs: each must be of one, and those of the scored output judge the model."""

from collections.abc import Sequence
from functools import partial

import msgspec
import numpy as np

from pipeline import frameworks
from pipeline.errors import DataError
from pipeline.load import data as reading
from pipeline.load import fit
from pipeline.records import Data, Rows, Task, TensorSpec
from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean
from pipeline.store import Store


def fitted(data: Data, outputs: Sequence[TensorSpec], scored: int | None, task: Task | None, store: Store) -> Data:
    """Return the data with the labels of the scored output as its evaluation labels.

    `scored`: as the plan's [task] says; None: the only output with classes that has labels. DataError for a name that is not an output's.
    """
    found = {name: rows for name in fit.SETS if (rows := getattr(data, name)) is not None and rows.named}
    for name, rows in found.items():
        _check_names(rows, outputs, f"data.{name}")
    evaluation = found.get("evaluation")
    if evaluation is None:
        return data
    given = {each.name: each.artifact for each in evaluation.named}
    if scored is None:
        classes = [each.name for each in outputs if frameworks.classes_of(each) is not None]
        name = classes[0] if len(classes) == 1 else ""
    else:
        name = outputs[scored].name
    if name not in given:
        return data
    if task is None or task.kind == "classification":
        labels = np.load(store.path(given[name]), mmap_mode="r", allow_pickle=False)
        error = reading.labels_error(labels, evaluation.rows, "data.evaluation")
        if error is not None:
            raise error
        numbers = np.asarray(labels, np.int64).reshape(len(labels))
        y = store.put_parts(partial(frameworks.array_parts, numbers), "npy")
        return msgspec.structs.replace(data, evaluation=msgspec.structs.replace(evaluation, y=y))
    return msgspec.structs.replace(data, evaluation=msgspec.structs.replace(evaluation, targets=given[name]))


def _check_names(rows: Rows, outputs: Sequence[TensorSpec], key: str) -> None:
    known = [each.name for each in outputs]
    for each in rows.named:
        if each.name not in known:
            listed = ", ".join(shortened(name, 80) for name in known)
            raise DataError(
                f"{key} has labels of '{shortened(each.name, 100)}', and the model has no output of that name",
                hint=f"{did_you_mean(each.name, known)}Its outputs are {listed}.",
            )
