"""How like its model's the answers of a file are, without labels and in the terms of the task: the model's own answers are taken for labels.

Regression and reconstruction have no such number: pipeline/quality/signal.py says it in dB.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pipeline.quality import segmentation, sequences
from pipeline.quality.embedding import cosine_similarity
from pipeline.quality.statistic import Array, Statistic, mean, plain
from pipeline.quality.task import probabilities
from pipeline.records import Task


class Likeness(NamedTuple):
    title: str
    value: float


def between(task: Task | None, answers: Array, exact: Array) -> Likeness | None:
    """Return it for the scored output, (rows, ...) alike. None: the plan names no task, its kind has no such number, or the answers are not
    of its kind.
    """
    if task is None or task.kind not in KINDS or answers.shape != exact.shape:
        return None
    title, compare = KINDS[task.kind]
    found = compare(task, answers, exact)
    return None if found is None else Likeness(title, plain(found))


def _classes(_: Task, answers: Array, exact: Array) -> Statistic | None:
    return None if answers.ndim != 2 or answers.shape[1] < 2 else mean(answers.argmax(1) == exact.argmax(1))


def _decisions(task: Task, answers: Array, exact: Array) -> Statistic | None:
    """The share of rows of which each decision is the same."""
    if answers.ndim == 2 and answers.shape[1] == 2 and task.kind == "binary":
        return _classes(task, answers, exact)
    chosen, right = (probabilities(each).reshape(len(each), -1) >= task.threshold for each in (answers, exact))
    return mean((chosen == right).all(1))


def _maps(task: Task, answers: Array, exact: Array) -> Statistic | None:
    """The axis of classes is the shorter one of the second and the last."""
    if answers.ndim == 3:
        if answers.dtype.kind != "f":
            classes = int(max(exact.max(initial=1), answers.max(initial=1))) + 1
            return segmentation.mean_iou(exact, answers, classes, None)
        right, chosen = ((probabilities(each) >= task.threshold).astype(np.int64) for each in (exact, answers))
        return segmentation.mean_iou(right, chosen, 2, None)
    if answers.ndim != 4:
        return None
    axis = 3 if answers.shape[3] <= answers.shape[1] else 1
    if answers.shape[axis] == 1:
        return _maps(task, answers.squeeze(axis), exact.squeeze(axis))
    right, chosen = (np.stack([row.argmax(axis - 1) for row in each]) for each in (exact, answers))
    return segmentation.mean_iou(right, chosen, answers.shape[axis], None)


def _embeddings(_: Task, answers: Array, exact: Array) -> Statistic | None:
    return cosine_similarity(exact, answers)


def _symbols(task: Task, answers: Array, exact: Array) -> Statistic | None:
    if answers.ndim != 3 or not 0 <= task.blank < answers.shape[2]:
        return None
    truths, found = ([sequences.greedy_ctc(row, task.blank) for row in each] for each in (exact, answers))
    return sequences.error_rate(truths, found) if any(truths) else None


KINDS: dict[str, tuple[str, Callable[[Task, Array, Array], Statistic | None]]] = {
    "classification": ("same top class", _classes),
    "binary": ("same decision", _decisions),
    "multilabel": ("same decisions", _decisions),
    "segmentation": ("mean IoU with the model's maps", _maps),
    "embedding": ("cosine similarity to the model's", _embeddings),
    "sequence": ("symbol error rate against the model's", _symbols),
}
"""Kind of a task -> what the number is, and how it is computed."""
