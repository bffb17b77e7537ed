"""How good answers are, by the metric of their task."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from pipeline.errors import DataError
from pipeline.quality import heads, kept, own
from pipeline.quality.kinds import detection
from pipeline.quality.regression import reconstruction_errors
from pipeline.quality.statistic import Array, Statistic, plain
from pipeline.quality.table import KINDS, ONE_OUTPUT
from pipeline.quality.task import Unfit
from pipeline.records import Quality, Rows, Task
from pipeline.store import Store

T = TypeVar("T")
Outputs = Mapping[str, Array]
CHANNELS = (1, 3, 4)  # of a picture


def has_classes(task: Task | None) -> bool:
    """Return whether answers may be scores of classes: those of a task that is not named may be."""
    return task is None or (task.kind == "classification" and task.postprocess is None)


def runs_code(task: Task | None) -> bool:
    """Return whether the user's own functions judge: then only a child process may."""
    return task is not None and (task.kind == "custom" or task.postprocess is not None)


def takes_several(task: Task) -> bool:
    """Return whether the task is judged by several outputs."""
    return task.kind not in ONE_OUTPUT or task.postprocess is not None


def needed(task: Task | None, rows: Rows | None, names: Collection[str]) -> set[str]:
    """Return which of the outputs are judged together. Nothing: there is no task, or there are no labels."""
    if task is None or rows is None or (rows.targets or rows.y) is None:
        return set()
    if runs_code(task):
        return set(names)
    if takes_several(task):
        own = task.detector.outputs.values() if task.detector else ()
        return set(own) & set(names) or set(names)
    return set(names) if task.output is None else {task.output} & set(names)


def by_name(task: Task | None, answers: Sequence[T], names: Sequence[str] = ()) -> dict[str, T]:
    """Return the answers by the names that the model has for its outputs. `names`: where it could not be read; of the file."""
    known = task.names if task is not None and task.names else names or [str(place) for place in range(len(answers))]
    return dict(zip(known, answers, strict=True))


def decided(task: Task, outputs: Outputs, folder: Path) -> Task:
    """Return the task with what only answers tell, decided over all evaluation rows of the model: which output has what.

    DataError where they do not tell it.
    """
    if task.detector is None:
        return task
    try:
        outputs = _processed(task, outputs, folder)
        return msgspec.structs.replace(task, detector=heads.with_outputs(task.detector, outputs))
    except Unfit as error:
        raise DataError(f"{error.key}: {error}", hint=error.hint) from error


def quality(
    task: Task | None,
    outputs: Outputs,
    rows: Rows,
    store: Store,
    folder: Path,
    indices: Array | None = None,
    *,
    whose: str = "",
) -> Quality | None:
    """Return the quality of the answers to evaluation rows; None: there is no task, or there are no labels.

    `outputs`: by the names that the model has for them, (rows, ...) each, at least those that are `needed`; `folder`: of the plan;
    `indices`: of the rows that were answered, None: all of them; `whose`: what answered, where it is not the model that was given. It runs the
    user's own functions where the task `runs_code`. DataError where answers or labels are not those of the task.
    """
    labels = rows.targets or rows.y
    if task is None or labels is None:
        return None
    given = np.load(store.path(labels), mmap_mode="r", allow_pickle=False)
    try:
        _check_enough(task, len(given) if indices is None else len(indices))
        wanted = np.asarray(given if indices is None else given[indices])
        outputs = _processed(task, outputs, folder)
        others: dict[str, float] = {}
        statistic: Statistic
        if task.kind == "custom":
            statistic, others = own.judged(task.metric, outputs, wanted, folder)
        else:
            statistic = _statistic(task, outputs, wanted, rows, store, indices)
        value = plain(statistic)
        if not math.isfinite(value):
            raise Unfit(f"{task.title} is not defined on these rows and labels", KINDS[task.kind].LABELS)
    except Unfit as error:
        of = f" (of what {whose} answers)" if whose else ""
        raise DataError(f"{error.key}: {error}{of}", hint=error.hint) from error
    artifact = store.put_bytes(kept.written(statistic), "npz")
    return Quality(value=value, rows=statistic.rows, statistic=artifact, others=others)


def _processed(task: Task, outputs: Outputs, folder: Path) -> Outputs:
    return outputs if task.postprocess is None else own.processed(task.postprocess, outputs, folder)


def _statistic(
    task: Task, outputs: Outputs, labels: Array, rows: Rows, store: Store, indices: Array | None
) -> Statistic:
    if task.kind == "detection":
        return detection.statistic(task, outputs, labels, picture_of(rows))
    answers = _scored(task, outputs)
    if task.kind == "reconstruction":
        answers = _errors(answers, rows, store, indices)
    return ONE_OUTPUT[task.kind].statistic(task, answers, labels)


def picture_of(rows: Rows) -> tuple[int, int] | None:
    """Return width and height of the pictures that the model is given; None: its rows are not pictures, or several in one."""
    columns = [each for each in rows.inputs if not each.constant]
    shape = columns[0].shape[-3:] if len(columns) == 1 else ()
    if len(shape) != 3:
        return None
    if shape[2] in CHANNELS:
        return shape[1], shape[0]
    return (shape[2], shape[1]) if shape[0] in CHANNELS else None


def _scored(task: Task, outputs: Outputs) -> Array:
    if task.output is not None and task.output in outputs:
        return outputs[task.output]
    if len(outputs) == 1 and task.output is None:
        return next(iter(outputs.values()))
    told = ", ".join(outputs)
    raise Unfit(
        f"the task's output is {'not named' if task.output is None else repr(task.output)}, and the outputs are {told}",
        "Name one of them in [task]: output = ....",
    )


def _check_enough(task: Task, rows: int) -> None:
    known = KINDS[task.kind].METRICS.get(task.metric)
    least = 1 if known is None else known.least_rows
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
