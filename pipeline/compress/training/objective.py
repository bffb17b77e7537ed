"""What a training learns from: checked rows in their order, labels, and a teacher's answers."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from pipeline import frameworks, units
from pipeline.compress.context import Context, Dataset
from pipeline.compress.settings import Recover
from pipeline.compress.training import distillation, logits
from pipeline.compress.training.checkpoint import digest_of
from pipeline.compress.training.distillation import Forward, Teacher
from pipeline.errors import DataError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasModel, KerasVariable, TfSpec, TfTensor

EVALUATION_ROWS = 1000  # for the accuracy that is shown after each epoch: its standard error is at most 1.6 points
IDENTITY_ROWS = 64
HELD_SHARE, MOST_HELD = 10, 1000
"""A tenth of the training rows, and no more than the standard error of EVALUATION_ROWS needs, is not trained on: by them the end of the
training is compared with its beginning."""


class Objective(NamedTuple):
    student: Forward
    x: Array
    y: Array | None  # None: nothing is learned from labels
    chosen: Array  # the rows of x to train on, ascending
    held: Array  # the rows of x that are not trained on and compare, ascending; empty where there are fewer than HELD_SHARE
    steps: int  # in an epoch
    seed: int
    teacher: Teacher | None
    evaluated: Callable[[], str]  # ", 91.20 % of 1,000 evaluation rows"

    @property
    def labelled(self) -> bool:
        return self.y is not None

    @property
    def variables(self) -> list[KerasVariable]:
        return [] if self.teacher is None else self.teacher.variables

    def identity(self) -> tuple[object, ...]:
        """Return what a resumed training must have in common with the one that was stopped. (Some of x stands for all of it.)"""
        return digest_of([self.chosen, self.x[:IDENTITY_ROWS], np.array(self.x.shape), *self._labels()]), self.steps

    def _labels(self) -> list[Array]:
        return [] if self.y is None else [self.y]

    def batches(self, epoch: int) -> Iterator[dict[str, Array]]:
        """Yield every row once, in an order of this seed and epoch, in batches of one size or one row less."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.chosen))
        soft = None if self.teacher is None else self.teacher.answers
        for part in np.array_split(order, self.steps):
            positions = np.sort(part)  # one way through a file that x is mapped from
            rows = self.chosen[positions]
            batch = {"x": np.ascontiguousarray(self.x[rows])}
            if self.y is not None:
                batch["y"] = self.y[rows].astype(np.int32)
            if soft is not None:
                batch["soft"] = soft[positions]
            yield batch

    def signature(self) -> dict[str, TfSpec]:
        """Return the tf.TensorSpec of each array of one batch."""
        import tensorflow as tf

        return {
            name: tf.TensorSpec((None, *array.shape[1:]), array.dtype, name)
            for name, array in next(self.batches(0)).items()
        }

    def loss(self, batch: dict[str, TfTensor]) -> tuple[TfTensor, TfTensor]:
        """(loss, how many answers are right) as tensors, in a tf.function that is being traced."""
        import tensorflow as tf

        found = self.student(batch["x"], training=True)
        labels = batch.get("y")
        if self.teacher is not None:
            loss = self.teacher.loss(batch["x"], batch.get("soft"), labels, found)
        else:
            loss = distillation.cross_entropy(labels, found[-1])
        if labels is None:
            return loss, tf.constant(0)
        right = tf.equal(tf.argmax(found[-1], -1, output_type=tf.int32), labels)
        return loss, tf.reduce_sum(tf.cast(right, tf.int32))


def prepare(model: KerasModel, how: Recover, context: Context) -> Objective:
    """Check that the model can learn from the rows. DataError, PlanError or StageError says what does not fit."""
    x, y, classes = fitting(model, how, context.training)
    held, count = _held(len(x)), trained_rows(how, len(x))
    order = np.random.default_rng(context.seed).permutation(len(x))
    chosen, kept = np.sort(order[:count]), np.sort(order[count : count + held])
    probe, distill = x[: distillation.PROBE_ROWS], how.distillation
    student = distillation.forward_of(model, probe, distillation.student_layers(distill), classes=classes)
    teacher = None if distill is None else distillation.teach(student, distill, context, x, chosen)
    steps = -(-len(chosen) // how.batch_size)
    return Objective(student, x, y, chosen, kept, steps, context.seed, teacher, _evaluating(student, context))


def trained_rows(how: Recover, rows: int) -> int:
    """Return how many of that many training rows are trained on."""
    return min(rows - _held(rows), how.rows or rows)


def steps_of(how: Recover, context: Context) -> int:
    """Return the steps of the whole training; 0 without rows."""
    rows = 0 if context.training is None else len(context.training.x)
    return how.epochs * -(-trained_rows(how, rows) // how.batch_size)


def _held(rows: int) -> int:
    return min(MOST_HELD, rows // HELD_SHARE)


def fitting(model: KerasModel, how: Recover, training: Dataset | None) -> tuple[Array, Array | None, bool]:
    """Return the checked rows, their labels if they are learned from, and whether the model's answers are class scores.

    A row of numbers is taken for class scores where there are labels, or where it is probabilities. Else it may be anything, and is
    learned from a teacher like an image: by the mean squared difference, which serves logits too (Ba, Caruana: arXiv 1312.6184).
    """
    if training is None or not len(training.x):
        raise DataError("recover needs data.training", hint="Give the rows that the model was trained on, with labels.")
    spec, output = frameworks.keras_specs(model, model.name)
    frameworks.check_fits(training.x, spec, "data.training", "keras")
    if how.rows is not None and how.rows > len(training.x):
        raise DataError(
            f"recover.rows is {how.rows:,}, but data.training has only {len(training.x):,} rows",
            hint="Leave recover.rows out to train on all of them.",
        )
    classes, distill = frameworks.classes_of(output), how.distillation
    if classes is None or (training.y is None and distill is not None and not _softened(model, training.x)):
        if distill is None:
            raise StageError(
                f"recover can train classifiers, and the output of {model.name} is not one score for each class",
                hint="Give recover.distill = true, to learn from the answers of the model as it was; or take recover out.",
            )
        return training.x, None, False
    if training.y is None:
        if distill is None or distill.weight < 1:
            raise DataError(
                "recover needs labels, but data.training has none",
                hint="Give (x, y) with one integer label for each row; or recover.distill = { weight = 1 }, to learn from the "
                "teacher's answers alone.",
            )
        return training.x, None, True
    _check_labels(training.y, len(training.x), classes)
    return training.x, training.y, True


def _softened(model: KerasModel, x: Array) -> bool:
    probe = x[: distillation.PROBE_ROWS]
    return logits.final_softmax(model) is not None or logits.answers_probabilities(model, probe)


def _check_labels(y: Array, rows: int, classes: int) -> None:
    if y.shape != (rows,) or not np.issubdtype(y.dtype, np.integer):
        raise DataError(
            f"the labels of data.training are {y.dtype} of shape {y.shape}, and must be one integer for each of {rows:,} rows",
            hint="Give the number of the class: y.argmax(axis=-1) turns one-hot labels into it.",
        )
    if int(y.min()) < 0 or int(y.max()) >= classes:
        raise DataError(
            f"the labels of data.training go from {y.min()} to {y.max()}, but the model has {classes} classes: 0 to {classes - 1}",
            hint="Number the classes from 0, as in the training of the model.",
        )


def _evaluating(student: Forward, context: Context) -> Callable[[], str]:
    """Answers the accuracy on some evaluation rows as it is now, as the end of a sentence; "" where there are no labels."""
    rows = context.evaluation
    if not student.classes or rows is None or rows.y is None:
        return lambda: ""
    drawn = np.sort(np.random.default_rng(context.seed).permutation(len(rows.x))[:EVALUATION_ROWS])
    x, y, answer = np.ascontiguousarray(rows.x[drawn]), rows.y[drawn], distillation.answers_of(student)

    def evaluated() -> str:
        share = frameworks.accuracy(answer(x), y)
        return f", {units.percent(share)} of {len(y):,} evaluation rows"

    return evaluated
