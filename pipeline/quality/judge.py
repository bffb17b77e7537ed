"""How good answers are by the metric of each task, and how like their model's they are in its terms."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from pipeline.errors import DataError
from pipeline.quality import heads, kept, likeness, own
from pipeline.quality.kinds import detection
from pipeline.quality.regression import reconstruction_errors
from pipeline.quality.statistic import Array, Statistic, plain
from pipeline.quality.table import KINDS, ONE_OUTPUT
from pipeline.quality.task import Outputs, Unfit, scored_of
from pipeline.records import Alike, Artifact, Quality, Rows, Task
from pipeline.store import Store

T = TypeVar("T")
CHANNELS = (1, 3, 4)  # of a picture


def is_classifier(task: Task) -> bool:
    """Return whether the answers of its output are scores of classes."""
    return task.kind == "classification" and task.postprocess is None


def may_have_classes(tasks: Sequence[Task]) -> bool:
    """Return whether answers may be scores of classes: those of a task that is not named may be."""
    return not tasks or any(map(is_classifier, tasks))


def scored(tasks: Sequence[Task]) -> int:
    """Return which output `accuracy` is of: the first that has classes by its task, else that of the first task."""
    return next((each for each in tasks if is_classifier(each)), tasks[0]).scored


def runs_code(task: Task) -> bool:
    """Return whether the user's own functions judge: then only a child process may."""
    return task.kind == "custom" or task.postprocess is not None


def takes_several(task: Task) -> bool:
    """Return whether the task is judged by several outputs."""
    return task.kind not in ONE_OUTPUT or task.postprocess is not None


def labels_of(task: Task, rows: Rows | None) -> Artifact | None:
    """Return the labels that the task is judged by: of several tasks those of its name, or of its output. None: there are none."""
    if rows is None:
        return None
    if not task.name:
        return rows.targets or rows.y
    given = {each.name: each.artifact for each in rows.named}
    return given.get(task.name) or given.get(task.output or "")


def needed(task: Task, names: Collection[str]) -> set[str]:
    """Return which of the outputs are judged together."""
    if runs_code(task):
        return set(names)
    if takes_several(task):
        own = task.detector.outputs.values() if task.detector else ()
        return set(own) & set(names) or set(names)
    return set(names) if task.output is None else {task.output} & set(names)


def by_name(tasks: Sequence[Task], answers: Sequence[T], names: Sequence[str] = ()) -> dict[str, T]:
    """Return the answers by the names that the model has for its outputs. `names`: where it could not be read; of the file."""
    known = (tasks[0].names if tasks else ()) or names or [str(place) for place in range(len(answers))]
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
        raise _error(task, error, "") from error


def qualities(
    tasks: Sequence[Task],
    outputs: Outputs,
    rows: Rows,
    store: Store,
    folder: Path,
    indices: Array | None = None,
    *,
    whose: str = "",
) -> tuple[Quality, ...]:
    """Return the quality of the answers to evaluation rows, of each task that has labels.

    `outputs`: by the names that the model has for them, (rows, ...) each, at least those that are `needed`; `folder`: of the plan;
    `indices`: of the rows that were answered, None: all of them; `whose`: what answered, where it is not the model that was given. It runs the
    user's own functions where a task `runs_code`. DataError where answers or labels are not those of the task.
    """
    found = (_quality(each, outputs, rows, store, folder, indices, whose) for each in tasks)
    return tuple(each for each in found if each is not None)


def alike(
    tasks: Sequence[Task], outputs: Outputs, sources: Outputs, rows: Rows, folder: Path, *, whose: str = ""
) -> tuple[Alike, ...]:
    """Return how like the model's answers, `sources`, those of a file are, for each task that has such a number. Arguments as `qualities`."""
    found = []
    for task in tasks:
        if likeness.is_known(task):
            answers, exact = (_processed_or_error(task, each, folder, whose) for each in (outputs, sources))
            one = likeness.between(task, answers, exact, picture_of(rows))
            found += [] if one is None else [one]
    return tuple(found)


def _quality(
    task: Task, outputs: Outputs, rows: Rows, store: Store, folder: Path, indices: Array | None, whose: str
) -> Quality | None:
    labels = labels_of(task, rows)
    if labels is None:
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
        raise _error(task, error, whose) from error
    artifact = store.put_bytes(kept.written(statistic), "npz")
    return Quality(value=value, rows=statistic.rows, statistic=artifact, others=others, task=task.name)


def _error(task: Task, error: Unfit, whose: str) -> DataError:
    which = f" (of the task '{task.name}')" if task.name else ""
    of = f" (of what {whose} answers)" if whose else ""
    return DataError(f"{error.key}: {error}{which}{of}", hint=error.hint)


def _processed_or_error(task: Task, outputs: Outputs, folder: Path, whose: str) -> Outputs:
    try:
        return _processed(task, outputs, folder)
    except Unfit as error:
        raise _error(task, error, whose) from error


def _processed(task: Task, outputs: Outputs, folder: Path) -> Outputs:
    return outputs if task.postprocess is None else own.processed(task.postprocess, outputs, folder)


def _statistic(
    task: Task, outputs: Outputs, labels: Array, rows: Rows, store: Store, indices: Array | None
) -> Statistic:
    if task.kind == "detection":
        return detection.statistic(task, outputs, labels, picture_of(rows))
    answers = scored_of(task, outputs)
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
