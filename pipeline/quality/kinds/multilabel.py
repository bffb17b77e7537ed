"""Several classes that may be true together."""

import numpy as np

from pipeline.quality import classification, ranking
from pipeline.quality.statistic import Array, Mean, Statistic
from pipeline.quality.task import Metric, Unfit, check_rows, probabilities, shown
from pipeline.records import Task

LABELS = "Labels are 0 or 1 for each class of each row."
METRICS = {
    "average_precision": Metric("mean average precision of the classes", higher_is_better=True, least_rows=2),
    "auroc": Metric("mean AUROC of the classes", higher_is_better=True, least_rows=2),
    "f1": Metric("macro F1", higher_is_better=True, least_rows=2),
}
SETTINGS = frozenset({"threshold"})


def statistic(task: Task, answers: Array, labels: Array) -> Statistic:
    check_rows(answers, labels)
    if labels.shape != answers.shape or labels.ndim != 2 or not np.isin(labels, (0, 1)).all():
        raise Unfit(f"the labels are {shown(labels)}, and the answers {shown(answers)}", LABELS)
    true = labels > 0
    if task.metric == "f1":
        return classification.f1_of_each(true, probabilities(answers) >= task.threshold)
    both = [place for place in range(true.shape[1]) if 0 < true[:, place].sum() < len(true)]
    if not both:
        raise Unfit(
            "no class has both true and false rows", "Give rows in which a class is true and others in which it is not."
        )
    of_class = ranking.auroc if task.metric == "auroc" else ranking.average_precision
    return Mean(tuple(of_class(true[:, place], answers[:, place]) for place in both))
