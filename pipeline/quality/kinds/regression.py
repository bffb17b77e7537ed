"""One number or several for each row."""

import numpy as np

from pipeline.quality import regression
from pipeline.quality.statistic import Array, Statistic
from pipeline.quality.task import Metric, Unfit, check_rows, shown
from pipeline.records import Task

LABELS = "Labels are the right number for each value of the answers."
METRICS = {
    "mae": Metric("mean absolute error", higher_is_better=False, ratio=False),
    "rmse": Metric("root mean square error", higher_is_better=False, ratio=False),
    "r2": Metric("R2", higher_is_better=True, least_rows=3),
}
SETTINGS: frozenset[str] = frozenset()


def statistic(task: Task, answers: Array, labels: Array) -> Statistic:
    check_rows(answers, labels)
    if answers.size != labels.size or labels.dtype.kind not in "fiub":
        raise Unfit(f"the labels are {shown(labels)}, and the answers {shown(answers)}", LABELS)
    targets = labels.reshape(answers.shape)
    if not np.isfinite(np.asarray(targets, np.float64)).all():
        raise Unfit("some labels are NaN or infinite", "Leave such rows out.")
    if task.metric == "mae":
        return regression.mean_absolute_error(targets, answers)
    return (regression.r2 if task.metric == "r2" else regression.root_mean_square_error)(targets, answers)
