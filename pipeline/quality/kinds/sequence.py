"""A sequence of symbols for each row, as CTC answers it: scores of each symbol in each step."""

import numpy as np

from pipeline.quality import sequences
from pipeline.quality.statistic import Array, Statistic
from pipeline.quality.task import Metric, Unfit, check_rows, shown
from pipeline.records import Task

LABELS = "Labels are the numbers of each row's symbols, filled up with -1."
METRICS = {"error_rate": Metric("symbol error rate", higher_is_better=False)}
SETTINGS = frozenset({"blank"})


def statistic(task: Task, answers: Array, labels: Array) -> Statistic:
    check_rows(answers, labels)
    if answers.ndim != 3 or labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise Unfit(f"the labels are {shown(labels)}, and the answers {shown(answers)}", LABELS)
    if not 0 <= task.blank < answers.shape[2]:
        raise Unfit(f"the blank is the symbol {task.blank}, and there are {answers.shape[2]}", "Give [task] blank.")
    truths = [[int(symbol) for symbol in row if symbol >= 0] for row in np.asarray(labels, np.int64)]
    if not any(truths):
        raise Unfit("no label has a symbol", LABELS)
    return sequences.error_rate(truths, [sequences.greedy_ctc(row, task.blank) for row in answers])
