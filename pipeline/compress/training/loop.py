"""Short training after a change, for every pass that needs it: seeded, with progress, and it can be stopped and resumed."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pipeline import units
from pipeline.compress.context import Context
from pipeline.compress.formats.base import VERSIONS
from pipeline.compress.settings import Recover
from pipeline.compress.sparsity import masks
from pipeline.compress.sparsity.kernels import pruned_kernels
from pipeline.compress.training import batch_norm, by_function, mixed_precision, objective
from pipeline.compress.training.better import AS_IT_IS, Trial, Untrained
from pipeline.compress.training.checkpoint import Checkpoint, digest_of
from pipeline.compress.training.fitting import fitting
from pipeline.compress.training.not_finite import NotFinite
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasCallback, KerasModel, TfFunction, TfTensor
from pipeline.store import versions

LARGEST_MOMENTUM = 0.9
"""Of batch normalisation while training. With Keras's 0.99 a short training leaves the statistics of the old weights:
a student read 77.3 % and 86.8 % after they were estimated again (measured on Fashion-MNIST)."""

TELL_SECONDS = 0.1

NOT_COMPARED = (
    "what the training changed is kept without a comparison: no loss of these labels is known, and [training] loss can name one",
)


def check(model: KerasModel, how: Recover | None, context: Context) -> None:
    """Raise if the model cannot be trained so on these rows: before a pass begins with what it does first."""
    if how is not None:
        fitting(model, how, context)


def recover(
    model: KerasModel, how: Recover, context: Context, callbacks: Sequence[KerasCallback] = (), *, hold_zeros: bool = True,
    untrained: Untrained = AS_IT_IS,
) -> tuple[str, ...]:  # fmt: skip
    """Train the model in place, and return notes on it.

    Adam, the learning rate falling to zero along a cosine; the loss of the labels, and with `how.distill` the teacher's answers
    too. With `hold_zeros`, weights of kernels that were pruned to zero stay zero. The order of the rows depends on the seed and the epoch alone, and with
    `context.resume` each epoch's end is kept: the same call continues from there and ends with the same weights, bit for bit.

    A tenth of the rows is held out. By them the end is compared with the beginning, as `untrained` leaves it where the pass has still
    something to do: the better weights are kept, and the sentences say which.

    Where the plan has [training] function, that trains instead (by_function.py), and all the rest is as it is here.

    `callbacks` are Keras callbacks; one with functions `state() -> list of arrays` and `restore(arrays)` is resumed too.
    Raises PlanError and DataError for what does not fit, StageError where the loss or a weight becomes NaN or infinite.
    """
    goal = objective.prepare(model, how, context)
    own = context.learn.function is not None
    trial = None if own and not goal.labels else Trial(goal, how, context, untrained)
    with _all_layers_train(model), zeros_held(model) if hold_zeros else contextlib.nullcontext():
        if own:
            notes = by_function.train(goal, how, context, callbacks, hold_zeros=hold_zeros)
        else:
            notes = Training(goal, how, context, callbacks).run()
    if how.recalibrate:
        batch_norm.recalibrate(model, context)
    return (*goal.notes, *notes, *(NOT_COMPARED if trial is None else trial.better()))


def without_training_state(model: KerasModel) -> KerasModel:
    """The same model without optimizer, loss and metrics: they would be saved with it, and be its user's no longer."""
    model.optimizer = None
    model.compiled = False
    return model


class Training:
    """One call of `recover`."""

    def __init__(
        self, goal: objective.Objective, how: Recover, context: Context, callbacks: Sequence[KerasCallback]
    ) -> None:
        import keras

        self.objective, self.how, self.context, self.callbacks = goal, how, context, callbacks
        self.model = goal.student.model
        self.steps = how.epochs * goal.steps
        self.variables = [*self.model.trainable_variables, *goal.variables]
        self.optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(how.learning_rate, self.steps))
        self.optimizer.build(self.variables)
        self.kept = [*self.model.variables, *goal.variables, *self.optimizer.variables]
        self.checkpoint = Checkpoint(
            context.resume, "training", how, context.seed, goal.identity(), versions(*VERSIONS),
            digest_of([weight.numpy() for weight in self.model.weights]), [type(each).__qualname__ for each in callbacks],
        )  # fmt: skip
        self.told = 0.0

    def run(self) -> tuple[str, ...]:
        import keras

        optimizer = getattr(self.model, "optimizer", None)
        self.model.optimizer = self.optimizer  # callbacks look there
        called = keras.callbacks.CallbackList(
            list(self.callbacks), model=self.model, epochs=self.how.epochs, steps=self.objective.steps
        )
        try:
            called.on_train_begin()
            began, policy, notes = self._begin()
            step = self.step_in(policy)
            for epoch in range(began, self.how.epochs):
                called.on_epoch_begin(epoch)
                loss, accuracy = self.epoch(epoch, step, called)
                called.on_epoch_end(epoch, {"loss": loss})
                NotFinite(self.model, self._where(epoch)).check_weights()
                self._keep(epoch + 1, policy, notes)
                self._tell((epoch + 1) * self.objective.steps, epoch, loss, accuracy, self.objective.evaluated())
            called.on_train_end()
        finally:
            self.model.optimizer = optimizer
        return notes

    def _begin(self) -> tuple[int, str | None, tuple[str, ...]]:
        """Return where the training begins: (epochs done, dtype policy, notes)."""
        found = self.checkpoint.read()
        if found is not None:
            for i, variable in enumerate(self.kept):
                variable.assign(found[f"variable {i}"])
            for i, callback in enumerate(self.callbacks):
                if hasattr(callback, "restore"):
                    callback.restore([found[f"callback {i} {j}"] for j in range(int(found[f"callback {i}"]))])
            return int(found["epochs"]), str(found["policy"]) or None, tuple(str(note) for note in found["notes"])
        if not self.how.mixed_precision:
            return 0, None, ()
        batch = next(self.objective.batches(0))
        faster, note = mixed_precision.is_faster(
            lambda policy: _bound(self.step_in(policy), batch), self.kept
        )  # the steps are taken back
        return 0, mixed_precision.POLICY if faster else None, (note,)

    def _keep(self, epochs: int, policy: str | None, notes: tuple[str, ...]) -> None:
        if self.checkpoint.path is None:
            return
        arrays = {f"variable {i}": variable.numpy() for i, variable in enumerate(self.kept)}
        arrays |= {
            "epochs": np.array(epochs),
            "policy": np.array(policy or ""),
            "notes": np.array(notes, dtype=np.str_),
        }
        for i, callback in enumerate(self.callbacks):
            if hasattr(callback, "state"):
                state = callback.state()
                arrays[f"callback {i}"] = np.array(len(state))
                arrays |= {f"callback {i} {j}": np.asarray(each) for j, each in enumerate(state)}
        self.checkpoint.write(arrays)

    def step_in(self, policy: str | None) -> TfFunction:
        """Return a compiled function: one batch -> (loss, how many answers were right, whether loss and gradients are finite).

        If they are not, no weight is changed, so that the cause can still be seen.
        """
        import tensorflow as tf

        def step(batch: dict[str, list[TfTensor]]) -> tuple[TfTensor, TfTensor, TfTensor]:
            with mixed_precision.computing_in(self.model, policy), tf.GradientTape() as tape:
                loss, right = self.objective.loss(batch)
                loss = tf.add_n(
                    [tf.cast(loss, "float32"), *(tf.reduce_sum(tf.cast(each, "float32")) for each in self.model.losses)]
                )
            gradients = tape.gradient(loss, self.variables)
            finite = tf.math.is_finite(
                tf.add_n([loss, *_sums(gradients)])
            )  # a ReLU can turn NaN into 0, and its gradient cannot

            def learn() -> TfTensor:
                self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
                return finite

            return loss, right, tf.cond(finite, learn, lambda: finite)

        return tf.function(step, input_signature=[self.objective.signature()], autograph=False)

    def epoch(self, epoch: int, step: TfFunction, called: KerasCallback) -> tuple[float, float | None]:
        """Mean loss, and the share of right answers where there are labels."""
        total, correct, seen = 0.0, 0, 0
        for i, batch in enumerate(self.objective.batches(epoch)):
            called.on_train_batch_begin(i)
            loss, right, finite = (each.numpy() for each in step(batch))
            if not finite:
                raise NotFinite(self.model, self._where(epoch, i)).of_loss(float(loss), batch["x"])
            called.on_train_batch_end(i, {"loss": float(loss)})
            rows = len(batch["x"][0])
            total, correct, seen = total + float(loss) * rows, correct + int(right), seen + rows
            accuracy = correct / seen if self.objective.counted is not None else None
            last = i + 1 == self.objective.steps  # the end of an epoch is reported when it is kept
            if not last and time.monotonic() - self.told >= TELL_SECONDS:
                self._tell(epoch * self.objective.steps + i + 1, epoch, total / seen, accuracy)
        return total / seen, accuracy

    def _tell(self, done: int, epoch: int, loss: float, accuracy: float | None, evaluated: str = "") -> None:
        shown = "" if accuracy is None else f", training accuracy so far {units.percent(accuracy)}"
        note = f"training, epoch {epoch + 1} of {self.how.epochs}: loss {units.number(loss)}{shown}{evaluated}"
        self.context.tell(done, self.steps, note)
        self.told = time.monotonic()

    def _where(self, epoch: int, step: int | None = None) -> str:
        of_step = "" if step is None else f", step {step + 1} of {self.objective.steps}"
        return f"epoch {epoch + 1} of {self.how.epochs}{of_step}"


def _sums(gradients: Sequence[TfTensor | None]) -> list[TfTensor]:
    """NaN or infinite where one value of a gradient is. An Embedding's is sparse, that of a variable without use is None."""
    import tensorflow as tf

    return [tf.reduce_sum(tf.cast(getattr(each, "values", each), "float32")) for each in gradients if each is not None]


def _bound(step: TfFunction, batch: objective.Batch) -> Callable[[], list[Array]]:
    return lambda: [each.numpy() for each in step(batch)]


@contextlib.contextmanager
def zeros_held(model: KerasModel) -> Iterator[None]:
    """Keep the weights of every floating point kernel that are exactly zero now at zero, inside the context: what was pruned stays pruned."""
    before = []
    for variable in pruned_kernels(model):
        before.append((variable, variable.constraint))
        variable.constraint = masks.holding(variable.numpy() != 0, variable.constraint)
    try:
        yield
    finally:
        for variable, constraint in before:
            variable.constraint = constraint


@contextlib.contextmanager
def _all_layers_train(model: KerasModel) -> Iterator[None]:
    """Let all layers train inside the context, also frozen ones, which would not recover; afterwards they are as they were."""
    layers = model._flatten_layers()  # noqa: SLF001 - Keras offers no other way into wrappers
    trainable = [(layer, layer.trainable) for layer in layers]
    momenta = [(layer, layer.momentum) for layer in batch_norm.norms_of(model)]
    for layer in layers:  # each by itself: Keras stops at a model that has the value already, whatever is inside it
        layer.trainable = True
    for layer, momentum in momenta:
        layer.momentum = min(momentum, LARGEST_MOMENTUM)
    try:
        yield
    finally:
        for layer, momentum in momenta:
            layer.momentum = momentum
        for layer, was in trainable:  # outer ones come first: setting one may set what is inside it
            layer.trainable = was
