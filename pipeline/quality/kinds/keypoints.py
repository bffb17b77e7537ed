"""Points in a picture."""

import numpy as np

from pipeline.quality import embedding
from pipeline.quality.statistic import Array, Floats, Statistic
from pipeline.quality.task import Metric, Unfit, check_rows, shown
from pipeline.records import Task

LABELS = "Labels are x and y of each point, in the unit of the answers, and a third value that is 0 where the point cannot be seen."
METRICS = {"pck": Metric("correct keypoints", higher_is_better=True)}
SETTINGS = frozenset({"share"})


def statistic(task: Task, answers: Array, labels: Array) -> Statistic:
    check_rows(answers, labels)
    if labels.ndim != 3 or labels.shape[2] not in (2, 3):
        raise Unfit(f"the labels are {shown(labels)}", LABELS)
    rows, points = labels.shape[:2]
    if answers.size < rows * points * 2 or answers.size % (rows * points):
        raise Unfit(f"the answers are {shown(answers)}, and the labels have {points} points", LABELS)
    visible = labels[..., 2] > 0 if labels.shape[2] == 3 else np.ones((rows, points), bool)
    exact = labels[..., :2].astype(np.float64)
    if (visible.sum(1) == 1).any():
        raise Unfit(
            "a row has a single visible point, so that nothing says how large its object is", "Leave such rows out."
        )
    return embedding.correct_keypoints(
        exact, answers.reshape(rows, points, -1)[..., :2], sizes_of(exact, visible), visible, task.share
    )


def sizes_of(points: Array, visible: Array) -> Floats:
    """Return how large the object of each row is, (rows,): the longer side of the box around its visible points."""
    low = np.where(visible[..., None], points, np.inf).min(1)
    high = np.where(visible[..., None], points, -np.inf).max(1)
    sizes: Floats = np.where(visible.any(1), (high - low).max(1), 0.0)
    return sizes
