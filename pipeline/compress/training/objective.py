"""What a training learns from: checked rows in their order, labels, and a teacher's answers."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pipeline import frameworks, units
from pipeline.compress.context import Context
from pipeline.compress.rows import Batches, called, outputs_of, refuse_steps, scored_of
from pipeline.compress.settings import Distill, PassSettings, Recover
from pipeline.compress.training import distillation, logits
from pipeline.compress.training.checkpoint import digest_of
from pipeline.compress.training.distillation import Forward, Kind, Teacher
from pipeline.compress.training.labels import Labels, Learned, given_to, learned_from
from pipeline.compress.training.weights import RowWeights, weights_of
from pipeline.errors import DataError, EdgepressError, PlanError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasModel, KerasVariable, TfSpec, TfTensor
from pipeline.records import TensorSpec

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
        for part in np.array_split(order, self.steps):
            positions = np.sort(part)  # one way through a file that x is mapped from
            rows = self.chosen[positions]
            batch = {"x": self.x.take(rows)}
            if self.labels:
                batch["y"] = [each.take(rows) for each in self.labels]
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
        labels.notes, weights_of(context, labels.learned),
    )  # fmt: skip


def trained_rows(how: Recover, rows: int) -> int:
    """Return how many of that many training rows are trained on."""
    return min(rows - _held(rows), how.rows or rows)


def steps_of(how: Recover, context: Context) -> int:
    """Return the steps of the whole training; 0 without rows."""
    rows = 0 if context.training is None else context.training.rows
    return how.epochs * -(-trained_rows(how, rows) // how.batch_size)


def _held(rows: int) -> int:
    return min(MOST_HELD, rows // HELD_SHARE)


def _key(how: Recover, name: str) -> str:
    """The name of a key for messages: the pass `recover` has it itself, and other passes in a table of that name."""
    return name if isinstance(how, PassSettings) else f"recover.{name}"


def _written(how: Recover, line: str) -> str:
    """As `_key`, of a key with its value, as a plan has it."""
    return line if isinstance(how, PassSettings) else f"recover = {{ {line} }}"


def fitting(model: KerasModel, how: Recover, context: Context) -> tuple[Batches, Labels, tuple[Kind, ...], int]:
    """Return the checked rows, what is learned from labels, the kind of each output, and which one is scored.

    A row of numbers is taken for class scores where its labels are classes, or where it is probabilities. Else it may be anything, and is
    learned from a teacher like an image: by the mean squared difference, which serves logits too (Ba, Caruana: arXiv 1312.6184).
    """
    training = context.training
    if training is None or not training.rows:
        raise DataError("recover needs data.training", hint="Give the rows that the model was trained on, with labels.")
    refuse_steps(model, context, "recover cannot train")
    x, outputs, scored = Batches(model, training, "data.training"), outputs_of(model), scored_of(model, context)
    _check_batches(model, x)
    if how.rows is not None and how.rows > len(x):
        raise DataError(
            f"{_key(how, 'rows')} is {how.rows:,}, but data.training has only {len(x):,} rows",
            hint=f"Leave {_key(how, 'rows')} out to train on all of them.",
        )
    probe = x.take(slice(distillation.PROBE_ROWS))
    kinds = [_kind(model, place, each, probe, scored) for place, each in enumerate(outputs)]
    answers = [np.asarray(each, np.float32) for each in called(model, probe, training=False)]
    if context.learn.function is not None:
        labels = _compared_by(model, how, context, scored, answers)
    else:
        labels = learned_from(model, context, outputs, scored, answers)
    if not labels.learned and context.learn.function is None:
        _check_without(model, how, (kinds, scored, probe), labels)
    for each in labels.learned:
        if each.loss.of is None:
            kinds[each.place] = "classes"
    softmax = [
        each._replace(loss=each.loss._replace(softmax=each.loss.of is not None and kinds[each.place] == "classes"))
        for each in labels.learned
    ]
    weights_of(context, labels.learned)
    return x, labels._replace(learned=tuple(softmax)), tuple(kinds), scored


def _compared_by(model: KerasModel, how: Recover, context: Context, scored: int, answers: Sequence[Array]) -> Labels:
    """Return what a training by a function of the user's is compared by. It may know more of its labels than a loss does."""
    if how.mixed_precision:
        raise PlanError(
            f"{_key(how, 'mixed_precision')} is of edgepress's own training, and [training] function does its own",
            hint="Leave it out, and let the function choose in what it computes.",
        )
    outputs = outputs_of(model)
    given_to(context, list(context.outputs) or [each.name for each in outputs], scored)
    try:
        return learned_from(model, context, outputs, scored, answers)._replace(notes=())
    except EdgepressError:
        if context.learn.loss is not None:
            raise
    return Labels()


def _check_without(model: KerasModel, how: Recover, known: tuple[list[Kind], int, list[Array]], labels: Labels) -> None:
    """Raise unless the model can learn without labels; class scores, from whom `known` is changed, from the teacher alone."""
    kinds, scored, probe = known
    outputs, distill = outputs_of(model), how.distillation
    classes = frameworks.classes_of(outputs[scored]) is not None and bool(kinds[scored])
    if not classes or labels.unused or (distill is not None and not _softened(model, probe, scored)):
        if distill is None:
            raise StageError(
                f"recover can train classifiers, and the output {_named(outputs, scored)}of {model.name} is not one score for each class; "
                "for others no loss is known",
                hint=f"Write {_written(how, 'distill = true')}, to learn from the answers of the model as it was; say the loss of the labels, "
                "[training] loss, or the [task] kind; or take recover out.",
            )
        _check_learned(model, kinds)
        return
    kinds[scored] = "classes"
    if distill is None or distill.weight < 1:
        raise DataError(
            "recover needs labels, but data.training has none",
            hint=f"Give (x, y) with one integer label for each row; or write {_written(how, 'distill = { weight = 1 }')}, to learn from the "
            "teacher's answers alone.",
        )


def _kind(model: KerasModel, place: int, output: TensorSpec, probe: list[Array], scored: int) -> Kind:
    """How an output is compared with the teacher's. "": it is an integer, such as an argmax, which nothing can be learned through."""
    if output.dtype != "bfloat16" and np.dtype(output.dtype).kind != "f":
        return ""
    if place == scored or frameworks.classes_of(output) is None or not _softened(model, probe, place):
        return "numbers"
    return "classes"


def _softened(model: KerasModel, probe: list[Array], output: int) -> bool:
    return logits.final_softmax(model, output) is not None or logits.answers_probabilities(model, probe, output)


def _named(outputs: Sequence[TensorSpec], place: int) -> str:
    """The name of an output, followed by a space; "" where there is only one."""
    return f"'{outputs[place].name}' " if len(outputs) > 1 else ""


def _check_batches(model: KerasModel, x: Batches) -> None:
    if x.whole:
        raise StageError(
            f"recover cannot train {model.name}: each row is a whole batch for it",
            hint="Build the model with an open batch, keras.Input(shape), and give it these weights.",
        )


def _check_learned(model: KerasModel, kinds: Sequence[Kind]) -> None:
    if not any(kinds):
        raise StageError(
            f"recover cannot train {model.name}: no output is a floating point number, so nothing can be learned from them",
            hint="Give the model before its argmax or rounding: keras.Model(model.inputs, the scores).",
        )


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
