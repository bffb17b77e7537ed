"""A kind of task: what its labels are, which metrics judge it, and how they are computed from the answers."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from pipeline.quality.statistic import Array, Statistic
from pipeline.records import Task

Outputs = Mapping[str, Array]
"""Answers by the names of outputs, (rows, ...) each."""
ROUNDED = 0.02
"""Of a probability in 8 bits, and generously: one above 1 is not a logit."""


class Unfit(ValueError):
    """Labels or answers that are not those of the task. `hint`: what to do, right for this kind; `key`: of the plan."""

    def __init__(self, message: str, hint: str, key: str = "data.evaluation") -> None:
        super().__init__(message)
        self.hint, self.key = hint, key


class Metric(NamedTuple):
    title: str
    higher_is_better: bool
    ratio: bool = True  # it lies from 0 to 1, and a change is given in points; else it has the unit of the answers
    least_rows: int = 1  # with fewer it says nothing


class About(Protocol):
    """A module of pipeline/quality/kinds."""

    LABELS: str  # what they are, in a sentence: "Labels are ..."
    METRICS: dict[str, Metric]  # the first is taken where the plan names none
    SETTINGS: frozenset[str]  # the keys of [task] that it uses


class Kind(About, Protocol):
    """One that is judged by one output."""

    def statistic(self, task: Task, answers: Array, labels: Array) -> Statistic:
        """Return the metric's statistic. Unfit where labels or answers are not those of this kind.

        answers: (rows, ...) of the scored output; labels: (rows, ...).
        """


def scored_of(task: Task, outputs: Outputs) -> Array:
    """Return the answers of the output that the task is judged by. Unfit where nothing says which it is."""
    if task.output is not None and task.output in outputs:
        return outputs[task.output]
    if len(outputs) == 1 and task.output is None:
        return next(iter(outputs.values()))
    told = ", ".join(outputs)
    raise Unfit(
        f"the task's output is {'not named' if task.output is None else repr(task.output)}, and the outputs are {told}",
        "Name one of them in [task]: output = ....",
    )


def check_rows(answers: Array, labels: Array) -> None:
    if len(answers) != len(labels):
        raise Unfit(
            f"there are {len(answers)} rows of answers and {len(labels)} labels", "Give one label for each row."
        )


def shown(array: Array) -> str:
    """Return an array's type and the shape of a row."""
    return f"{array.dtype} of shape {array.shape[1:]} for a row"


def probabilities(answers: Array) -> Array:
    """Return answers as probabilities. Those that leave 0 to 1, by more than rounding, are logits."""
    values: Any = np.asarray(answers, np.float64)
    if values.size and (values.min() < -ROUNDED or values.max() > 1 + ROUNDED):
        values = 1 / (1 + np.exp(-np.clip(values, -80, 80)))
    found: Array = values
    return found
