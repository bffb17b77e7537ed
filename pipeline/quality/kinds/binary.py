"""True or false for each row: one score, or one of each of the two."""

from pipeline.quality import classification, ranking
from pipeline.quality.kinds.classification import class_numbers
from pipeline.quality.statistic import Array, Statistic, mean
from pipeline.quality.task import Metric, Unfit, check_rows, probabilities, shown
from pipeline.records import Task

LABELS = "Labels are 0 or 1 for each row."
METRICS = {
    "auroc": Metric("AUROC", higher_is_better=True, least_rows=2),
    "average_precision": Metric("average precision", higher_is_better=True, least_rows=2),
    "accuracy": Metric("accuracy", higher_is_better=True),
    "f1": Metric("F1", higher_is_better=True, least_rows=2),
    "equal_error_rate": Metric("equal error rate", higher_is_better=False, least_rows=2),
}
SETTINGS = frozenset({"threshold"})


def statistic(task: Task, answers: Array, labels: Array) -> Statistic:
    check_rows(answers, labels)
    width = answers.size // max(1, len(answers))
    if width not in (1, 2):
        raise Unfit(f"the answers are {shown(answers)}, not one score or two", "Name another [task] kind.")
    flat, true = answers.reshape(len(answers), width), class_numbers(labels, 2, LABELS)
    scores = flat[:, 0] if width == 1 else flat[:, 1].astype("f8") - flat[:, 0]
    if task.metric in ("accuracy", "f1"):
        chosen = probabilities(flat[:, 0]) >= task.threshold if width == 1 else scores > 0
        return mean(chosen == true) if task.metric == "accuracy" else classification.f1_of_true(true > 0, chosen)
    if len(set(true.tolist())) < 2:
        raise Unfit("the labels are all the same, and this metric needs both kinds of rows", "Give rows of both kinds.")
    if task.metric == "auroc":
        return ranking.auroc(true, scores)
    if task.metric == "average_precision":
        return ranking.average_precision(true, scores)
    return ranking.equal_error_rate(true, scores)
