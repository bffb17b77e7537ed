"""Learning from a teacher: its softened answers, and what its layers see on the way to them."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline import frameworks
from pipeline.compress.context import Context
from pipeline.compress.settings import Distill, check_names
from pipeline.compress.training import logits
from pipeline.compress.training.checkpoint import Checkpoint, digest_of
from pipeline.errors import PlanError
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasVariable, TfTensor

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


def distillation_loss(teacher: TfTensor, student: TfTensor, labels: TfTensor | None, settings: Distill) -> TfTensor:
    """Weight T^2 KL(teacher || student) + (1 - weight) cross entropy(labels, student), a scalar.

    `teacher` and `student` are logits (rows, classes), `labels` (rows,) integers; None where weight is 1.
    """
    soft = softened_divergence(teacher, student, settings.temperature)
    if labels is None:
        return settings.weight * soft
    return settings.weight * soft + (1 - settings.weight) * cross_entropy(labels, student)


def cross_entropy(labels: TfTensor, scores: TfTensor) -> TfTensor:
    """Mean over the rows; `scores` are logits (rows, classes)."""
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=scores))


def mean_square(one: TfTensor, other: TfTensor) -> TfTensor:
    import tensorflow as tf

    return tf.reduce_mean(tf.math.squared_difference(tf.cast(one, "float32"), tf.cast(other, "float32")))


class Forward(NamedTuple):
    """A model that is asked for [outputs of layers..., answers]; the answers of a classifier are logits."""

    model: KerasModel
    outputs: KerasModel  # the same layers as `model`, with more outputs
    layers: tuple[str, ...]
    classes: bool  # they are class scores
    probabilities: bool  # they are, and no final softmax could be left out

    def __call__(self, x: TfTensor, *, training: bool) -> list[TfTensor]:
        """Features and answers as tensors, in a tf.function that is being traced."""
        if not self.classes:
            return self._listed(self.outputs(x, training=training))
        with logits.without_softmax(self.model):
            *features, answers = self._listed(self.outputs(x, training=training))
        return [*features, logits.as_logits(answers, probabilities=self.probabilities)]

    def _listed(self, found: TfTensor | list[TfTensor]) -> list[TfTensor]:
        return list(found) if isinstance(found, list | tuple) else [found]

    def widths(self) -> list[tuple[int | None, ...]]:
        """Shapes of the layers' outputs, without the axis of rows."""
        return [tuple(self.model.get_layer(name).output.shape[1:]) for name in self.layers]


def forward_of(model: KerasModel, x: Array, layers: tuple[str, ...], *, classes: bool) -> Forward:
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
        outputs = keras.Model(model.inputs, [*seen, model.outputs[0]])
    unclear = classes and logits.final_softmax(model) is None
    return Forward(model, outputs, layers, classes, unclear and logits.answers_probabilities(model, x))


class Teacher(NamedTuple):
    """What a teacher adds to a training."""

    settings: Distill
    forward: Forward
    answers: Array | None  # (rows, ...) float32 for the rows that are trained on; None: asked for in each step
    projections: tuple[
        KerasLayer | None, ...
    ]  # from a layer of the student to the width of the teacher's; None: as wide already

    @property
    def variables(self) -> list[KerasVariable]:
        """Trained with the student, and thrown away."""
        return [variable for each in self.projections if each is not None for variable in each.variables]

    def loss(
        self, x: TfTensor, soft: TfTensor | None, labels: TfTensor | None, student: Sequence[TfTensor]
    ) -> TfTensor:
        """`soft`: the cached answers for these rows. `student`: its features and its answers."""
        *features, answers = student
        if soft is None:
            *wanted, soft = self.forward(x, training=False)
        if self.forward.classes:
            loss = distillation_loss(soft, answers, labels, self.settings)
        else:
            loss = mean_square(soft, answers)
        if features:
            for want, have, projection in zip(wanted, features, self.projections, strict=True):
                loss += self.settings.feature_weight * mean_square(
                    want, have if projection is None else projection(have)
                )
        return loss


def teach(student: Forward, settings: Distill, context: Context, x: Array, chosen: Array) -> Teacher:
    """Open the teacher and let it answer the rows `chosen` of `x`. `student` is asked for `settings.features` too."""
    opened = _open(settings, context, student.model)
    teacher = forward_of(opened, x[:PROBE_ROWS], _names(settings.features)[0], classes=student.classes)
    width = math.prod(size or 1 for size in teacher.model.outputs[0].shape[1:])
    cached = not settings.features and 4 * width * len(chosen) <= CACHE_BYTES
    return Teacher(
        settings,
        teacher,
        _answers(teacher, x, chosen, context) if cached else None,
        _projections(student, teacher, context.seed),
    )


def student_layers(settings: Distill | None) -> tuple[str, ...]:
    return () if settings is None else _names(settings.features)[1]


def _names(features: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the teacher's layers and of the student's; "a=b" pairs layer a of the teacher with layer b of the student."""
    pairs = [name.partition("=") for name in features]
    return tuple(teacher for teacher, _, _ in pairs), tuple(student or teacher for teacher, _, student in pairs)


def _open(settings: Distill, context: Context, student: KerasModel) -> KerasModel:
    if settings.teacher is not None:
        path = context.folder / settings.teacher
        if not path.is_file():
            raise PlanError(
                f"distill.teacher: there is no file {path}",
                hint="Give the path of a .keras file, relative to the plan.",
            )
        teacher = frameworks.open_keras(path)
    elif context.original is not None:
        teacher = context.original()
    else:
        raise PlanError("distill needs a teacher", hint="Give distill.teacher, the path of a .keras file.")
    sides = [frameworks.keras_specs(model, model.name) for model in (teacher, student)]
    for what, of_teacher, of_student in zip(("input", "output"), *sides, strict=True):
        if of_teacher.shape != of_student.shape:
            raise PlanError(
                f"distill: the teacher's {what} has shape {of_teacher.shape}, and the student's {of_student.shape}",
                hint="The teacher must take the same rows and answer the same question: name another in distill.teacher.",
            )
    return teacher


def _answers(teacher: Forward, x: Array, chosen: Array, context: Context) -> Array:
    """Return what the teacher answers for the rows, in the order of `chosen`; read back if it was computed before."""
    weights = [weight.numpy() for weight in teacher.model.weights]
    kept = Checkpoint(
        context.resume, "teacher", digest_of(weights), digest_of([chosen, x[: BATCH_ROWS]]), teacher.probabilities
    )  # fmt: skip
    found = kept.read()
    if found is not None:
        return found["answers"]
    answer = answers_of(teacher)
    answers: list[Array] = []
    for start in range(0, len(chosen), BATCH_ROWS):
        answers.append(answer(x[chosen[start : start + BATCH_ROWS]]))
        context.tell(min(start + BATCH_ROWS, len(chosen)), len(chosen), "the teacher answers the training rows")
    together = np.concatenate(answers)
    kept.write({"answers": together})
    return together


def answers_of(model: Forward) -> Callable[[Array], Array]:
    """A compiled function from rows to answers as float32."""
    import tensorflow as tf

    asked = tf.function(lambda x: model(x, training=False)[-1], reduce_retracing=True, autograph=False)
    return lambda x: np.asarray(asked(tf.constant(np.ascontiguousarray(x))), np.float32)


def _projections(student: Forward, teacher: Forward, seed: int) -> tuple[KerasLayer | None, ...]:
    """A learned linear map, the same at every place, where the number of channels differs (FitNets: arXiv 1412.6550, section 2.2)."""
    import keras

    found: list[KerasLayer | None] = []
    for i, (have, want) in enumerate(zip(student.widths(), teacher.widths(), strict=True)):
        if have[:-1] != want[:-1]:
            raise PlanError(
                f"distill.features: '{teacher.layers[i]}' of the teacher answers {want} and '{student.layers[i]}' of the "
                f"student {have}: only the last axis, the channels, may differ",
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
