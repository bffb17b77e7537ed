"""One class for each row: the largest of its scores."""

import numpy as np

from pipeline.quality import classification as metrics
from pipeline.quality.statistic import Array, Statistic
from pipeline.quality.task import Metric, Unfit, check_rows, shown
from pipeline.records import Task

LABELS = "Labels are the number of each row's class, from 0, or one-hot rows."
METRICS = {
    "accuracy": Metric("accuracy", higher_is_better=True),
    "top5": Metric("top-5 accuracy", higher_is_better=True),
    "balanced_accuracy": Metric("balanced accuracy", higher_is_better=True, least_rows=2),
    "f1": Metric("macro F1", higher_is_better=True, least_rows=2),
}
SETTINGS: frozenset[str] = frozenset()


def statistic(task: Task, answers: Array, labels: Array) -> Statistic:
    check_rows(answers, labels)
    if answers.ndim != 2 or answers.shape[1] < 2:
        raise Unfit(f"the answers are {shown(answers)}, not scores of two classes or more", "Name another [task] kind.")
    classes = answers.shape[1]
    numbers = class_numbers(labels, classes)
    if task.metric == "accuracy":
        return metrics.top_k(numbers, answers)
    if task.metric == "top5":
        return metrics.top_k(numbers, answers, 5)
    chosen = answers.argmax(1)
    return (metrics.balanced_accuracy if task.metric == "balanced_accuracy" else metrics.f1)(numbers, chosen, classes)


def class_numbers(labels: Array, classes: int, hint: str = "") -> Array:
    """Return the number of each row's class, (rows,), of such numbers or of one-hot rows. `hint`: of another kind, what its labels are."""
    if labels.ndim == 2 and labels.shape[1] == classes > 1:
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all()):
            raise Unfit(
                f"the labels are {shown(labels)}, and not each has a single 1",
                'Rows with several true classes are of [task] kind = "multilabel".',
            )
        found: Array = labels.argmax(1)
        return found
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    whole = flat.dtype.kind in "iu" or (np.isfinite(flat).all() and np.array_equal(flat, np.rint(flat)))
    if flat.ndim != 1 or not whole:
        raise Unfit(f"the labels are {shown(labels)}, not one number for each row", hint or LABELS)
    if flat.size and (flat.min() < 0 or flat.max() >= classes):
        raise Unfit(
            f"the labels run from {int(flat.min())} to {int(flat.max())}, but there are {classes} classes (0 to {classes - 1})",
            hint or "Number the classes as in training, from 0.",
        )
    return flat.astype(np.int64)
