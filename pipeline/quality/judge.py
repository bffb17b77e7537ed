"""How good answers are, by the metric of their task."""

import math

import numpy as np

from pipeline.errors import DataError
from pipeline.quality import kept
from pipeline.quality.regression import reconstruction_errors
from pipeline.quality.statistic import Array, plain
from pipeline.quality.table import KINDS
from pipeline.quality.task import Unfit
from pipeline.records import Quality, Rows, Task
from pipeline.store import Store


def has_classes(task: Task | None) -> bool:
    """Return whether answers may be scores of classes: those of a task that is not named may be."""
    return task is None or task.kind == "classification"


def quality(
    task: Task | None, answers: Array, rows: Rows, store: Store, indices: Array | None = None
) -> Quality | None:
    """Return the quality of the answers to evaluation rows, (rows, ...); None: there is no task, or there are no labels.

    `indices`: of the rows that were answered; None: all of them. DataError where answers or labels are not those of the task.
    """
    labels = rows.targets or rows.y
    if task is None or labels is None:
        return None
    given = np.load(store.path(labels), mmap_mode="r", allow_pickle=False)
    try:
        _check_enough(task, len(answers))
        if task.kind == "reconstruction":
            answers = _errors(answers, rows, store, indices)
        statistic = KINDS[task.kind].statistic(task, answers, np.asarray(given if indices is None else given[indices]))
        value = plain(statistic)
        if not math.isfinite(value):
            raise Unfit(f"{task.title} is not defined on these rows and labels", KINDS[task.kind].LABELS)
    except Unfit as error:
        raise DataError(f"data.evaluation: {error}", hint=error.hint) from error
    return Quality(value=value, rows=statistic.rows, statistic=store.put_bytes(kept.written(statistic), "npz"))


def _check_enough(task: Task, rows: int) -> None:
    least = KINDS[task.kind].METRICS[task.metric].least_rows
    if rows < least:
        raise Unfit(f"{task.title} needs {least} rows or more, and there are {rows}", "Give more evaluation rows.")


def _errors(answers: Array, rows: Rows, store: Store, indices: Array | None) -> Array:
    """Return the error of each row, (rows,), against what the model was given."""
    columns = [each for each in rows.inputs if not each.constant]
    if len(columns) != 1 or answers[:1].size != math.prod(columns[0].shape):
        told = ", ".join(f"{each.shape}" for each in columns)
        raise Unfit(f"a row is {told}, and its answer {answers.shape[1:]}", "A reconstruction has the size of its row.")
    given = np.load(store.path(columns[0].artifact), mmap_mode="r", allow_pickle=False)
    return reconstruction_errors(np.asarray(given if indices is None else given[indices]), answers)
