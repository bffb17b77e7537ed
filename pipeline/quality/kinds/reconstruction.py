"""A row that is answered again, by an auto-encoder: its error is the score of an anomaly. Labels say which rows are anomalies."""

from pipeline.quality import ranking
from pipeline.quality.kinds.classification import class_numbers
from pipeline.quality.statistic import Array, Statistic
from pipeline.quality.task import Metric, Unfit, check_rows, shown
from pipeline.records import Task

LABELS = "Labels are 1 for an anomaly and 0 for each other row."
METRICS = {"auroc": Metric("AUROC of anomalies", higher_is_better=True, least_rows=2)}
SETTINGS: frozenset[str] = frozenset()


def statistic(task: Task, answers: Array, labels: Array) -> Statistic:  # noqa: ARG001 - as all kinds
    """`answers`: (rows,), the error of each row: regression.reconstruction_errors of the rows and what the model answers."""
    check_rows(answers, labels)
    if answers.ndim != 1:
        raise Unfit(
            f"the errors are {shown(answers)}, not one for each row", "Compare the answers with the rows first."
        )
    true = class_numbers(labels, 2, LABELS)
    if len(set(true.tolist())) < 2:
        raise Unfit("the labels are all the same, and AUROC needs both kinds of rows", LABELS)
    return ranking.auroc(true, answers)
