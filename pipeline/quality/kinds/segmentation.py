"""A class for each pixel: the largest of its scores, or one probability."""

import numpy as np

from pipeline.quality import segmentation
from pipeline.quality.statistic import Array, Statistic
from pipeline.quality.task import Metric, Unfit, check_rows, probabilities, shown
from pipeline.records import Task

LABELS = "Labels are maps of class numbers, (height, width) for each row, of the size of the answers."
METRICS = {
    "mean_iou": Metric("mean IoU", higher_is_better=True),
    "pixel_accuracy": Metric("pixel accuracy", higher_is_better=True),
}
SETTINGS = frozenset({"threshold", "ignored"})
MOST_CLASSES = 1024  # of maps of integers: a board may answer any


def statistic(task: Task, answers: Array, labels: Array) -> Statistic:
    check_rows(answers, labels)
    maps = labels[..., 0] if labels.ndim == 4 and labels.shape[3] == 1 else labels
    if maps.ndim != 3 or maps.dtype.kind not in "iub":
        raise Unfit(f"the labels are {shown(labels)}", LABELS)
    chosen, classes = _chosen(answers, maps.shape[1:], task.threshold)
    counted = maps if task.ignored is None else maps[maps != task.ignored]
    if counted.size and (counted.min() < 0 or counted.max() >= classes):
        raise Unfit(
            f"the labels run from {counted.min()} to {counted.max()}, but there are {classes} classes (0 to {classes - 1})",
            "Number the classes as in training, from 0; pixels that shall not count have the label of [task] ignored.",
        )
    if task.metric == "pixel_accuracy":
        return segmentation.pixel_accuracy(maps, chosen, task.ignored)
    return segmentation.mean_iou(maps, chosen, classes, task.ignored)


def _chosen(answers: Array, size: tuple[int, ...], threshold: float) -> tuple[Array, int]:
    """Return the class of each pixel, and how many classes there are. The axis of classes is the one that the labels do not have."""
    if answers.ndim == 3 and answers.shape[1:] == size:
        if answers.dtype.kind == "f":
            return (probabilities(answers) >= threshold).astype(np.int64), 2
        if answers.size and not 0 <= int(answers.min()) <= int(answers.max()) < MOST_CLASSES:
            raise Unfit(f"the answers run from {answers.min()} to {answers.max()}, and are not classes", LABELS)
        return answers.astype(np.int64), max(2, int(answers.max(initial=0)) + 1)
    for axis in (3, 1):
        if answers.ndim == 4 and answers.shape[1:axis] + answers.shape[axis + 1 :] == size:
            if answers.shape[axis] == 1:
                return _chosen(answers.squeeze(axis), size, threshold)
            return np.stack([row.argmax(axis - 1) for row in answers]), answers.shape[axis]
    raise Unfit(f"the answers are {shown(answers)}, and the labels have {size} pixels", LABELS)
