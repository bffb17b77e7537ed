"""What a training learns from: checked rows in their order, labels, and a teacher's answers."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from pipeline import frameworks, units
from pipeline.compress.context import Context
from pipeline.compress.rows import Batches
from pipeline.compress.settings import Distill, Recover
from pipeline.compress.training import distillation
from pipeline.compress.training.augment import Augment
from pipeline.compress.training.checkpoint import digest_of
from pipeline.compress.training.distillation import Forward, Teacher
from pipeline.compress.training.fitting import fitting
from pipeline.compress.training.label_forms import Learned
from pipeline.compress.training.labels import Labels
from pipeline.compress.training.weights import RowWeights, weights_of
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasModel, KerasVariable, TfSpec, TfTensor

Batch = dict[str, list[Array]]
"""x: of each input; y: the labels of each output that learns from some; weights: of the rows; soft: the teacher's answers of each output that it teaches."""

EVALUATION_ROWS = 1000  # for the accuracy that is shown after each epoch: its standard error is at most 1.6 points
IDENTITY_ROWS = 64
HELD_SHARE, MOST_HELD = 10, 1000
"""A tenth of the training rows, and no more than the standard error of EVALUATION_ROWS needs, is not trained on: by them the end of the
training is compared with its beginning."""


class Objective(NamedTuple):
    student: Forward
    x: Batches
    labels: tuple[Learned, ...]  # the outputs that learn from labels; (): nothing does
    chosen: Array  # the rows of x to train on, ascending
    held: Array  # the rows of x that are not trained on and compare, ascending; empty where there are fewer than HELD_SHARE
    steps: int  # in an epoch
    seed: int
    scored: int  # the output that labels without a name are of
    teacher: Teacher | None
    evaluated: Callable[[], str]  # ", 91.20 % of 1,000 evaluation rows"
    notes: tuple[str, ...] = ()  # which loss is learned by
    augment: Augment | None = None
    weights: RowWeights | None = None  # of the rows, in what is learned from labels; None: all count alike

    @property
    def counted(self) -> Learned | None:
        """The output whose right answers are counted: scores of classes."""
        return next((each for each in self.labels if each.loss.of is None), None)

    @property
    def judged(self) -> list[int]:
        """The outputs that only the teacher can judge."""
        learned = () if self.teacher is None else self.teacher.learned
        return [each for each in learned if each not in {label.place for label in self.labels}]

    @property
    def variables(self) -> list[KerasVariable]:
        return [] if self.teacher is None else self.teacher.variables

    def identity(self) -> tuple[object, ...]:
        """Return what a resumed training must have in common with the one that was stopped. (Some of x stands for all of it.)"""
        columns = [*self.x.columns, *(each.y for each in self.labels)]
        some = [each for x in columns for each in (np.ascontiguousarray(x[:IDENTITY_ROWS]), np.array(x.shape))]
        losses = [(each.place, each.loss.name, each.weight) for each in self.labels]
        weights = [] if self.weights is None else [self.weights.take(np.arange(len(self.x)))]
        return digest_of([self.chosen, *some, *weights]), self.steps, losses

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield every row once, in an order of this seed and epoch, in batches of one size or one row less."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.chosen))
        soft = None if self.teacher is None else self.teacher.answers
        for step, part in enumerate(np.array_split(order, self.steps)):
            positions = np.sort(part)  # one way through a file that x is mapped from
            rows = self.chosen[positions]
            batch = {"x": self.x.take(rows)}
            if self.labels:
                batch["y"] = [each.take(rows) for each in self.labels]
            if self.augment is not None:
                batch["x"], y = self.augment(batch["x"], batch.get("y", []), epoch, step)
                batch |= {"y": y} if y else {}
            if self.weights is not None:
                batch["weights"] = [self.weights.take(rows)]
            if soft is not None:
                batch["soft"] = [each[positions] for each in soft]
            yield batch

    def signature(self) -> dict[str, list[TfSpec]]:
        """Return the tf.TensorSpec of each array of one batch."""
        import tensorflow as tf

        return {
            name: [tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in arrays]
            for name, arrays in next(self.batches(0)).items()
        }

    def loss(self, batch: dict[str, list[TfTensor]]) -> tuple[TfTensor, TfTensor]:
        """(loss, how many answers are right) as tensors, in a tf.function that is being traced."""
        import tensorflow as tf

        features, answers = self.student(batch["x"], training=True)
        weights = batch["weights"][0] if "weights" in batch else None
        of_labels = {
            each.place: each.weight * each.loss.mean(y, answers[each.place], weights)
            for each, y in zip(self.labels, batch.get("y", ()), strict=True)
        }
        taught = () if self.teacher is None else self.teacher.learned
        losses = [loss for place, loss in of_labels.items() if place not in taught]
        if self.teacher is not None:
            losses += self.teacher.losses(batch["x"], batch.get("soft"), of_labels, features, answers)
        loss = losses[0] if len(losses) == 1 else tf.add_n(losses)
        counted = self.counted
        if counted is None:
            return loss, tf.constant(0)
        right = tf.equal(
            tf.argmax(answers[counted.place], -1, output_type=tf.int32), batch["y"][self.labels.index(counted)]
        )
        return loss, tf.reduce_sum(tf.cast(right, tf.int32))


def prepare(model: KerasModel, how: Recover, context: Context) -> Objective:
    """Check that the model can learn from the rows. DataError, PlanError or StageError says what does not fit."""
    x, labels, kinds, scored = fitting(model, how, context)
    held, count = _held(len(x)), trained_rows(how, len(x))
    order = np.random.default_rng(context.seed).permutation(len(x))
    chosen, kept = np.sort(order[:count]), np.sort(order[count : count + held])
    distill = how.distillation
    student = distillation.forward_of(
        model, x.take(slice(distillation.PROBE_ROWS)), distillation.student_layers(distill), kinds
    )
    labelled = {each.place for each in labels.learned}
    learned = tuple(
        place for place, kind in enumerate(kinds) if kind and (distill is not None or place not in labelled)
    )
    teacher = None
    if learned and context.learn.function is None:
        teacher = distillation.teach(student, distill or Distill(), context, x, chosen, learned, scored)
    steps = -(-len(chosen) // how.batch_size)
    return Objective(
        student, x, labels.learned, chosen, kept, steps, context.seed, scored, teacher, _evaluating(student, scored, context),
        labels.notes, _augment(context, x, labels), weights_of(context, labels.learned),
    )  # fmt: skip


def _augment(context: Context, x: Batches, labels: Labels) -> Augment | None:
    reference = context.learn.augment
    return None if reference is None else Augment(reference, context, x.names, [each.name for each in labels.learned])


def trained_rows(how: Recover, rows: int) -> int:
    """Return how many of that many training rows are trained on."""
    return min(rows - _held(rows), how.rows or rows)


def steps_of(how: Recover, context: Context) -> int:
    """Return the steps of the whole training; 0 without rows."""
    rows = 0 if context.training is None else context.training.rows
    return how.epochs * -(-trained_rows(how, rows) // how.batch_size)


def _held(rows: int) -> int:
    return min(MOST_HELD, rows // HELD_SHARE)


def _evaluating(student: Forward, scored: int, context: Context) -> Callable[[], str]:
    """Answers the accuracy on some evaluation rows as it is now, as the end of a sentence; "" where there are no labels."""
    rows = context.evaluation
    if student.kinds[scored] != "classes" or rows is None or rows.y is None:
        return lambda: ""
    drawn = np.sort(np.random.default_rng(context.seed).permutation(rows.rows)[:EVALUATION_ROWS])
    x, y = Batches(student.model, rows, "data.evaluation").take(drawn), rows.y[drawn]
    answer = distillation.answers_of(student)

    def evaluated() -> str:
        share = frameworks.accuracy(answer(x)[scored], y)
        return f", {units.percent(share)} of {len(y):,} evaluation rows"

    return evaluated
