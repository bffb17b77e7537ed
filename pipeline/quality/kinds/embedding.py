"""A vector for each row, near those of the same label."""

from pipeline.quality import embedding
from pipeline.quality.kinds.classification import class_numbers
from pipeline.quality.statistic import Array, Statistic
from pipeline.quality.task import Metric, Unfit, check_rows
from pipeline.records import Task

LABELS = "Labels are a number for each row: rows of the same number belong together."
METRICS = {
    "recall@1": Metric("recall at 1", higher_is_better=True, least_rows=2),
    "recall@5": Metric("recall at 5", higher_is_better=True, least_rows=6),
}
MOST_NUMBERS = 2**53  # what a float holds exactly
SETTINGS: frozenset[str] = frozenset()


def statistic(task: Task, answers: Array, labels: Array) -> Statistic:
    check_rows(answers, labels)
    numbers = class_numbers(labels, MOST_NUMBERS, LABELS)
    if len(set(numbers.tolist())) == len(numbers):
        raise Unfit("no label is given twice, so that no row can find one of its own", LABELS)
    return embedding.recall_at(numbers, answers, 5 if task.metric == "recall@5" else 1)
