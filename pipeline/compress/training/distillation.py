"""Learning from a teacher: its softened answers, and what its layers see on the way to them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from pipeline import units
from pipeline.child import Tell
from pipeline.compress.context import Context
from pipeline.compress.rows import Batches, called
from pipeline.compress.settings import Distill, check_names
from pipeline.compress.training import logits
from pipeline.compress.training.checkpoint import Checkpoint, digest_of
from pipeline.compress.training.teachers import open_teacher
from pipeline.errors import PlanError
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasVariable, TfTensor

Kind = Literal["classes", "numbers", ""]
"""How an output is learned from a teacher: scores of classes, other floating point numbers, or not at all."""

CACHE_BYTES = 2**29  # of the teacher's answers for all rows; more are asked for in each step instead
BATCH_ROWS = 500
PROBE_ROWS = 64  # to distinguish probabilities from logits


def softened_divergence(teacher: TfTensor, student: TfTensor, temperature: float) -> TfTensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), the mean over the rows; both are logits (rows, classes).

    T^2 keeps the size of its gradient the same whatever T is (Hinton, Vinyals, Dean: arXiv 1503.02531, section 2.1).
    """
    import tensorflow as tf

    of_teacher = tf.nn.log_softmax(teacher / temperature)
    of_student = tf.nn.log_softmax(student / temperature)
    each = tf.reduce_sum(tf.exp(of_teacher) * (of_teacher - of_student), axis=-1)
    return temperature**2 * tf.reduce_mean(each)


def distillation_loss(teacher: TfTensor, student: TfTensor, of_labels: TfTensor | None, settings: Distill) -> TfTensor:
    """Weight T^2 KL(teacher || student) + (1 - weight) `of_labels`, a scalar.

    `teacher` and `student` are logits (rows, classes), `of_labels` is the loss of the labels; None where weight is 1.
    """
    soft = softened_divergence(teacher, student, settings.temperature)
    if of_labels is None:
        return settings.weight * soft
    return settings.weight * soft + (1 - settings.weight) * of_labels


def cross_entropy_of_rows(labels: TfTensor, scores: TfTensor) -> TfTensor:
    """Return that of each row, (rows,); `scores` are logits (rows, classes), `labels` (rows,) integers."""
    import tensorflow as tf

    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=scores)


def mean_square(one: TfTensor, other: TfTensor) -> TfTensor:
    import tensorflow as tf

    return tf.reduce_mean(tf.math.squared_difference(tf.cast(one, "float32"), tf.cast(other, "float32")))


class Forward(NamedTuple):
    """A model that is asked for the outputs of layers, and for its answers; class scores are answered as logits.

    `takes` and `gives`: where each of its inputs stands among the arrays that it is given, and where each answer stands among its own
    outputs. A teacher may have both in another order than its student.
    """

    model: KerasModel
    outputs: KerasModel  # the same layers as `model`, with more outputs
    layers: tuple[str, ...]
    kinds: tuple[Kind, ...]  # of each answer
    probabilities: tuple[bool, ...]  # of each answer: class scores of which no final softmax could be left out
    takes: tuple[int, ...]
    gives: tuple[int, ...]

    def __call__(self, x: Sequence[TfTensor], *, training: bool) -> tuple[list[TfTensor], list[TfTensor]]:
        """Features and answers as tensors, in a tf.function that is being traced."""
        classes = [place for place, kind in zip(self.gives, self.kinds, strict=True) if kind == "classes"]
        with logits.without_softmax(self.model, classes):
            found = called(self.outputs, [x[place] for place in self.takes], training=training)
        features, answers = found[: len(self.layers)], found[len(self.layers) :]
        return features, [
            logits.as_logits(answers[place], probabilities=clear) if kind == "classes" else answers[place]
            for place, kind, clear in zip(self.gives, self.kinds, self.probabilities, strict=True)
        ]

    def widths(self) -> list[tuple[int | None, ...]]:
        """Shapes of the layers' outputs, without the axis of rows."""
        return [tuple(self.model.get_layer(name).output.shape[1:]) for name in self.layers]


def forward_of(
    model: KerasModel,
    x: Sequence[Array],
    layers: tuple[str, ...],
    kinds: Sequence[Kind],
    takes: Sequence[int] | None = None,
    gives: Sequence[int] | None = None,
) -> Forward:
    """`x`: some rows, to see whether class scores are probabilities. PlanError names a layer that the graph does not have once."""
    import keras

    check_names(layers, [layer.name for layer in model.layers], "distill.features")
    outputs = model
    if layers:
        try:
            seen = [model.get_layer(name).output for name in layers]
        except (AttributeError, ValueError) as error:
            raise PlanError(
                f"distill.features: one of the layers {', '.join(layers)} of {model.name} is used more than once, so it has several outputs",
                hint="Name the layer after it.",
            ) from error
        outputs = keras.Model(model.inputs, [*seen, *model.outputs])
    takes = tuple(range(len(model.inputs)) if takes is None else takes)
    gives = tuple(range(len(model.outputs)) if gives is None else gives)
    unclear = [
        kind == "classes" and logits.final_softmax(model, place) is None
        for place, kind in zip(gives, kinds, strict=True)
    ]
    given = [x[place] for place in takes]
    probabilities = tuple(
        each and logits.answers_probabilities(model, given, place) for place, each in zip(gives, unclear, strict=True)
    )
    return Forward(model, outputs, layers, tuple(kinds), probabilities, takes, gives)


class Teacher(NamedTuple):
    """What a teacher adds to a training."""

    settings: Distill
    forward: Forward
    learned: tuple[int, ...]  # the outputs that are learned from it
    scored: int  # the output that labels are of
    scales: tuple[float, ...]  # of each output that is learned: what its squared differences are divided by
    answers: (
        list[Array] | None
    )  # (rows, ...) float32 of each of `learned`, for the rows that are trained on; None: asked for in each step
    projections: tuple[
        KerasLayer | None, ...
    ]  # from a layer of the student to the width of the teacher's; None: as wide already

    @property
    def variables(self) -> list[KerasVariable]:
        """Trained with the student, and thrown away."""
        return [variable for each in self.projections if each is not None for variable in each.variables]

    def losses(
        self,
        x: Sequence[TfTensor],
        soft: Sequence[TfTensor] | None,
        of_labels: Mapping[int, TfTensor],
        features: Sequence[TfTensor],
        answers: Sequence[TfTensor],
    ) -> list[TfTensor]:
        """What is to be added up. `soft`: the cached answers for these rows. `of_labels`: the losses of outputs that learn from labels
        too. `features` and `answers` are the student's.
        """
        wanted: Sequence[TfTensor] = ()
        if soft is None:
            wanted, all_answers = self.forward(x, training=False)
            soft = [all_answers[place] for place in self.learned]
        losses = [
            self._loss(place, want, answers[place], scale, of_labels.get(place))
            for place, want, scale in zip(self.learned, soft, self.scales, strict=True)
        ]
        if features:
            for want, have, projection in zip(wanted, features, self.projections, strict=True):
                compared = have if projection is None else projection(have)
                losses.append(self.settings.feature_weight * mean_square(want, compared))
        return losses

    def _loss(self, place: int, want: TfTensor, have: TfTensor, scale: float, of_labels: TfTensor | None) -> TfTensor:
        if self.forward.kinds[place] != "classes":
            soft = mean_square(want, have) / scale
            return soft if of_labels is None else self.settings.weight * soft + (1 - self.settings.weight) * of_labels
        if place == self.scored or of_labels is not None:
            return distillation_loss(want, have, of_labels, self.settings)
        return softened_divergence(want, have, self.settings.temperature)


def teach(
    student: Forward,
    settings: Distill,
    context: Context,
    x: Batches,
    chosen: Array,
    learned: tuple[int, ...],
    scored: int,
) -> Teacher:
    """Open the teacher and let it answer the rows `chosen` of `x`. `student` is asked for `settings.features` too.

    Where the model has several outputs, the squared differences of each are divided by the variance of the teacher's answers, so that
    none outweighs the others by its unit.
    """
    opened, takes, gives = open_teacher(settings, context, student.model)
    probe = x.take(slice(PROBE_ROWS))
    teacher = forward_of(opened, probe, _names(settings.features)[0], student.kinds, takes, gives)
    widths = [math.prod(size or 1 for size in opened.outputs[gives[place]].shape[1:]) for place in learned]
    cached = not settings.features and context.learn.augment is None and 4 * sum(widths) * len(chosen) <= CACHE_BYTES
    answers = _answers(teacher, x, chosen, learned, context) if cached else None
    scales: tuple[float, ...] = (1.0,)
    if len(student.kinds) > 1:
        some = answers if answers is not None else _of_rows(teacher, x, chosen[:BATCH_ROWS], learned)
        scales = tuple(
            _variance(each) if student.kinds[place] == "numbers" else 1.0
            for place, each in zip(learned, some, strict=True)
        )
    return Teacher(settings, teacher, learned, scored, scales, answers, _projections(student, teacher, context.seed))


def _variance(answers: Array) -> float:
    """Over the rows, the mean of all places; 1 for answers that are always the same."""
    return float(answers[:BATCH_ROWS].astype(np.float64).var(axis=0).mean()) or 1.0


def student_layers(settings: Distill | None) -> tuple[str, ...]:
    return () if settings is None else _names(settings.features)[1]


def _names(features: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the teacher's layers and of the student's; "a=b" pairs layer a of the teacher with layer b of the student."""
    pairs = [name.partition("=") for name in features]
    return tuple(teacher for teacher, _, _ in pairs), tuple(student or teacher for teacher, _, student in pairs)


def _answers(teacher: Forward, x: Batches, chosen: Array, learned: tuple[int, ...], context: Context) -> list[Array]:
    """Return what the teacher answers for the rows, in the order of `chosen`; read back if it was computed before."""
    weights = [weight.numpy() for weight in teacher.model.weights]
    some = [np.ascontiguousarray(each[:BATCH_ROWS]) for each in x.columns]
    kept = Checkpoint(
        context.resume, "teacher", digest_of(weights), digest_of([chosen, *some]), teacher.probabilities, learned
    )
    found = kept.read()
    if found is not None:
        return [found[f"answers {place}"] for place in learned]
    together = _of_rows(teacher, x, chosen, learned, context.tell)
    kept.write({f"answers {place}": each for place, each in zip(learned, together, strict=True)})
    return together


def _of_rows(
    teacher: Forward, x: Batches, chosen: Array, learned: tuple[int, ...], tell: Tell | None = None
) -> list[Array]:
    answer = answers_of(teacher)
    found: list[list[Array]] = []
    for start in range(0, len(chosen), BATCH_ROWS):
        answers = answer(x.take(chosen[start : start + BATCH_ROWS]))
        found.append([answers[place] for place in learned])
        if tell is not None:
            tell(min(start + BATCH_ROWS, len(chosen)), len(chosen), "the teacher answers the training rows")
    return [np.concatenate(each) for each in zip(*found, strict=True)]


def answers_of(model: Forward) -> Callable[[Sequence[Array]], list[Array]]:
    """A compiled function from rows (of each input) to the answers of each output, as float32."""
    import tensorflow as tf

    asked = tf.function(lambda x: model(x, training=False)[1], reduce_retracing=True, autograph=False)
    return lambda x: [np.asarray(each, np.float32) for each in asked([tf.constant(given) for given in x])]


def _projections(student: Forward, teacher: Forward, seed: int) -> tuple[KerasLayer | None, ...]:
    """A learned linear map, the same at every place, where the number of channels differs (FitNets: arXiv 1412.6550, section 2.2)."""
    import keras

    found: list[KerasLayer | None] = []
    for i, (have, want) in enumerate(zip(student.widths(), teacher.widths(), strict=True)):
        if have[:-1] != want[:-1]:
            raise PlanError(
                f"distill.features: '{teacher.layers[i]}' of the teacher answers {units.shape(want)} and '{student.layers[i]}' of the "
                f"student {units.shape(have)}: only the last axis, the channels, may differ",
                hint='Name layers of the same height and width, as "layer of the teacher=layer of the student".',
            )
        if have == want:
            found.append(None)
            continue
        projection = keras.layers.Dense(
            want[-1],
            use_bias=False,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed + i),
            dtype="float32",
        )
        projection.build((None, *have))
        found.append(projection)
    return tuple(found)
