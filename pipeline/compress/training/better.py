"""Compare the end of a training with its beginning, on rows that it did not learn from: the better weights are kept, and a note says so."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline import units
from pipeline.compress.context import Context
from pipeline.compress.rows import outputs_of
from pipeline.compress.settings import Recover
from pipeline.compress.training import batch_norm, distillation
from pipeline.compress.training.label_forms import Learned
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
        # Right answers are what a classifier is for; the parts of a loss are comparable with each other alone.
        self.counts = len(objective.labels) == 1 and objective.counted is not None and objective.weights is None
        self.variables = [*objective.student.model.weights, *untrained.hidden]
        self.rows = objective.held if len(objective.held) else objective.chosen
        self.answer = distillation.answers_of(objective.student)
        named = (
            objective.student if objective.teacher is None else objective.teacher.forward
        )  # a pass may rename the student's
        names = [each.name for each in outputs_of(named.model)]
        self.names = [names[place] for place in named.gives]
        self.wanted = self._asked(objective.teacher.forward) if objective.teacher and objective.judged else None
        self.start = [variable.numpy() for variable in self.variables]
        untrained.finish()
        self.before = self._errors()
        self._restore()

    def better(self) -> tuple[str, ...]:
        """Keep the better weights of the two; return the notes on it."""
        after = self._errors()
        found = self._told(self.before, after)
        if after.sum(1).mean() <= self.before.sum(1).mean():
            return (found,)
        model = self.objective.student.model
        self._restore()
        self.untrained.finish()
        recalibrated = self.how.recalibrate and batch_norm.recalibrate(model, self.context)  # it helps after a surgery
        if recalibrated and self._errors().sum(1).mean() > self.before.sum(1).mean():
            self._restore()
            self.untrained.finish()
        worse = (after - self.before).sum(1)
        sure = worse.mean() > SURE * worse.std() / math.sqrt(len(worse))
        why = "the training made it worse" if sure else "no better on these rows, and the difference may be chance"
        return (f"{found}: {why}. {UNTRAINED}; {ADVICE}",)

    def _restore(self) -> None:
        for variable, value in zip(self.variables, self.start, strict=True):
            variable.assign(value)

    def _errors(self) -> Array:
        """(rows, what judges): whether the class is wrong, where labels are classes and nothing else is learned from labels; else the
        loss of each output that learns from them; and of each output that a teacher judges, how far its answer is from the teacher's, as
        a share of their variance where there are several outputs.
        """
        answers = self._asked(None)
        found = []
        for each in self.objective.labels:
            if self.counts:
                scores = answers[each.place].astype(np.float64)
                wrong = scores.argmax(-1) != each.take(self.rows)
                found.append((wrong | ~np.isfinite(scores).all(-1)).astype(np.float64))
            else:
                found.append(self._lost(each, answers[each.place]))
        found += [self._apart(place, answers[place].astype(np.float64)) for place in self.objective.judged]
        return np.stack(found, axis=1)

    def _lost(self, learned: Learned, answers: Array) -> Array:
        """Return the loss of each row by its labels, times its weight in the training."""
        import tensorflow as tf

        labels, found = learned.take(self.rows), []
        for start in range(0, len(answers), distillation.BATCH_ROWS):
            part = slice(start, start + distillation.BATCH_ROWS)
            lost = np.asarray(learned.loss.of_rows(tf.constant(labels[part]), tf.constant(answers[part])), np.float64)
            found.append(np.broadcast_to(lost, len(answers[part])))  # one number for all, where the loss gives no more
        of_rows = self.objective.weights
        weights = 1.0 if of_rows is None else of_rows.take(self.rows)
        known: Array = np.nan_to_num(learned.weight * weights * np.concatenate(found), nan=WORST, posinf=WORST)
        return known

    def _apart(self, place: int, answers: Array) -> Array:
        assert self.wanted is not None  # a teacher judges
        assert self.objective.teacher is not None
        wanted = self.wanted[place].astype(np.float64)
        if self.objective.student.kinds[place] == "classes":
            wanted, answers = _log_softmax(wanted), _log_softmax(answers)
            apart = (np.exp(wanted) * (wanted - answers)).sum(-1).reshape(len(answers), -1).mean(-1)
        else:
            teacher = self.objective.teacher
            scale = teacher.scales[teacher.learned.index(place)]
            apart = np.square(answers - wanted).reshape(len(answers), -1).mean(-1) / scale
        known: Array = np.nan_to_num(apart, nan=WORST, posinf=WORST)
        return known

    def _asked(self, teacher: distillation.Forward | None) -> list[Array]:
        answer = self.answer if teacher is None else distillation.answers_of(teacher)
        parts = range(0, len(self.rows), distillation.BATCH_ROWS)
        found = [answer(self.objective.x.take(self.rows[i : i + distillation.BATCH_ROWS])) for i in parts]
        return [np.concatenate(each) for each in zip(*found, strict=True)]

    def _told(self, before: Array, after: Array) -> str:
        which = "not trained on" if len(self.objective.held) else "trained on, for there are too few to hold some out"
        rows = f"{units.counted(len(before), 'row')} {which}"
        was, now = list(before.mean(0)), list(after.mean(0))
        told = []
        weighted = "" if self.objective.weights is None else "weighted "
        for each in self.objective.labels:
            one, other = was.pop(0), now.pop(0)
            if self.counts:
                told.append(
                    f"of {rows}, {units.percent(1 - one)} were right before the training and {units.percent(1 - other)} after it"
                )
            else:
                output = f" of '{each.name}'" if len(self.names) > 1 else ""
                told.append(
                    f"{'' if told else f'on {rows}, '}the {weighted}{each.loss.name}{output} was {units.number(one)} before the training and "
                    f"{units.number(other)} after it"
                )
        several = len(self.names) > 1
        for place, one, other in zip(self.objective.judged, was, now, strict=True):
            classes = self.objective.student.kinds[place] == "classes"
            what = "divergence" if classes else "mean squared difference"
            share = "" if classes or not several else ", as a share of their variance,"
            output = f" of '{self.names[place]}'" if several else ""
            where = "" if told else f"on {rows}, "
            told.append(
                f"{where}the {what}{output} from the teacher's answers{share} was {units.number(one)} before the training and "
                f"{units.number(other)} after it"
            )
        return "; ".join(told)


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(-1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found
