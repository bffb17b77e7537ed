"""Compare the end of a training with its beginning, on rows that it did not learn from: the better weights are kept, and a note says so."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline import units
from pipeline.compress.context import Context
from pipeline.compress.settings import Recover
from pipeline.compress.training import batch_norm, distillation
from pipeline.compress.training.objective import Objective
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasVariable
from pipeline.records import UNTRAINED

SURE = 2.0  # standard errors of the mean difference, row by row
WORST = 1e30  # the error of an answer that is not a number
ADVICE = "a smaller recover.learning_rate (a tenth), or more epochs, usually help"


class Untrained(NamedTuple):
    """What the pass makes without training: it must keep the promise, too."""

    finish: Callable[[], None]  # turns the weights as they are before the training into it
    hidden: Sequence[
        KerasVariable
    ] = ()  # variables that are not weights of the model and that `finish` or the training changes


AS_IT_IS = Untrained(lambda: None)


class Trial:
    """The judge of one training: made before it, asked after it."""

    def __init__(self, objective: Objective, how: Recover, context: Context, untrained: Untrained) -> None:
        self.objective, self.how, self.context, self.untrained = objective, how, context, untrained
        self.variables = [*objective.student.model.weights, *untrained.hidden]
        self.rows = objective.held if len(objective.held) else objective.chosen
        self.answer = distillation.answers_of(objective.student)
        self.wanted = (
            None if objective.teacher is None or objective.labelled else self._asked(objective.teacher.forward)
        )
        self.start = [variable.numpy() for variable in self.variables]
        untrained.finish()
        self.before = self._errors()
        self._restore()

    def better(self) -> tuple[str, ...]:
        """Keep the better weights of the two; return the notes on it."""
        after = self._errors()
        found = self._told(self.before, after)
        if after.mean() <= self.before.mean():
            return (found,)
        model = self.objective.student.model
        self._restore()
        self.untrained.finish()
        recalibrated = self.how.recalibrate and batch_norm.recalibrate(model, self.context)  # it helps after a surgery
        if recalibrated and self._errors().mean() > self.before.mean():
            self._restore()
            self.untrained.finish()
        worse = after - self.before
        sure = worse.mean() > SURE * worse.std() / math.sqrt(len(worse))
        why = "the training made it worse" if sure else "no better on these rows, and the difference may be chance"
        return (f"{found}: {why}. {UNTRAINED}; {ADVICE}",)

    def _restore(self) -> None:
        for variable, value in zip(self.variables, self.start, strict=True):
            variable.assign(value)

    def _errors(self) -> Array:
        """Return for each row whether the class is wrong, where there are labels; else how far the answer is from the teacher's."""
        answers = self._asked(None).astype(np.float64)
        if self.objective.y is not None:
            wrong = answers.argmax(-1) != self.objective.y[self.rows]
            errors: Array = (wrong | ~np.isfinite(answers).all(-1)).astype(np.float64)
            return errors
        assert self.wanted is not None  # learned from a teacher alone
        wanted = self.wanted.astype(np.float64)
        if self.objective.student.classes:
            wanted, answers = _log_softmax(wanted), _log_softmax(answers)
            apart = (np.exp(wanted) * (wanted - answers)).sum(-1)
        else:
            apart = np.square(answers - wanted).reshape(len(answers), -1).mean(-1)
        known: Array = np.nan_to_num(apart, nan=WORST, posinf=WORST)
        return known

    def _asked(self, teacher: distillation.Forward | None) -> Array:
        answer = self.answer if teacher is None else distillation.answers_of(teacher)
        parts = range(0, len(self.rows), distillation.BATCH_ROWS)
        return np.concatenate([answer(self.objective.x[self.rows[i : i + distillation.BATCH_ROWS]]) for i in parts])

    def _told(self, before: Array, after: Array) -> str:
        which = "not trained on" if len(self.objective.held) else "trained on, for there are too few to hold some out"
        rows = f"{units.counted(len(before), 'row')} {which}"
        if self.objective.y is not None:
            return f"of {rows}, {units.percent(1 - before.mean())} were right before the training and {units.percent(1 - after.mean())} after it"
        what = "divergence" if self.objective.student.classes else "mean squared difference"
        return (
            f"on {rows}, the {what} from the teacher's answers was {units.number(before.mean())} before the training and "
            f"{units.number(after.mean())} after it"
        )


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(-1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found
