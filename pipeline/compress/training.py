"""Short training after a change, for every pass that needs it."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipeline import units
from pipeline.child import Tell
from pipeline.compress.base import Context, Dataset
from pipeline.compress.formats import layers_of
from pipeline.compress.settings import Recover
from pipeline.errors import DataError, StageError
from pipeline.frameworks import Array, classes_of, keras_specs

LARGEST_MOMENTUM = 0.9
"""Of batch normalisation while training. With Keras's 0.99 a short training leaves the statistics of the old weights:
a student read 77.3 % and 86.8 % after they were estimated anew (measured on Fashion-MNIST)."""


def recover(model: Any, how: Recover, context: Context, callbacks: Sequence[Any] = ()) -> None:
    """Train the model in place: Adam, the learning rate falling to zero along a cosine, cross entropy with the labels."""
    import keras

    x, y = _drawn(model, how, context.training)
    steps = how.epochs * -(-len(x) // how.batch_size)
    with _all_layers_train(model):
        model.compile(
            optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(how.learning_rate, steps)),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=not _answers_probabilities(model, x)),
            metrics=["accuracy"],
            jit_compile=False,
        )
        model.fit(
            x,
            y,
            batch_size=how.batch_size,
            epochs=how.epochs,
            verbose=0,
            callbacks=[*callbacks, _telling(how, steps, context.tell)],
        )


def without_training_state(model: Any) -> Any:
    """The same model without optimizer, loss and metrics: they would be saved with it, and be its user's no longer."""
    model.optimizer = None
    model.compiled = False
    return model


def _drawn(model: Any, how: Recover, training: Dataset | None) -> tuple[Array, Array]:
    if training is None or training.y is None:
        raise DataError(
            "recover needs labels, but data.training has none" if training else "recover needs data.training",
            hint="Give (x, y) with one integer label for each row.",
        )
    if classes_of(keras_specs(model, model.name)[1]) is None:
        raise StageError(
            f"recover can train classifiers, and the output of {model.name} is not one score for each class",
            hint="Take recover out, and judge the accuracy of the pass without it.",
        )
    count = len(training.x) if how.rows is None else min(how.rows, len(training.x))
    chosen = np.sort(np.random.permutation(len(training.x))[:count])  # noqa: NPY002 - seeded by apply_pass, with Keras
    return np.asarray(training.x[chosen]), training.y[chosen]


def _answers_probabilities(model: Any, x: Array) -> bool:
    """Whether the outputs are probabilities (softmax) or logits: probabilities are not negative and add up to 1."""
    outputs = np.asarray(model(x[:64], training=False))
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3))


@contextlib.contextmanager
def _all_layers_train(model: Any) -> Iterator[None]:
    """A model saved with frozen layers would not recover: all train here, and are afterwards as they were."""
    layers = [model, *layers_of(model)]
    trainable = [(layer, layer.trainable) for layer in layers]
    momenta = [(layer, layer.momentum) for layer in layers if _normalises_batches(layer)]
    model.trainable = True
    for layer, momentum in momenta:
        layer.momentum = min(momentum, LARGEST_MOMENTUM)
    try:
        yield
    finally:
        for layer, momentum in momenta:
            layer.momentum = momentum
        for layer, was in trainable:  # the model first: setting it sets all its layers
            layer.trainable = was


def _normalises_batches(layer: Any) -> bool:
    import keras

    return isinstance(layer, keras.layers.BatchNormalization)


def _telling(how: Recover, steps: int, tell: Tell) -> Any:
    import keras

    class Telling(keras.callbacks.Callback):  # type: ignore[misc]
        done = 0
        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            del logs
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            del batch
            self.done += 1
            so_far = units.percent(float(logs["accuracy"]))
            tell(self.done, steps, f"fine-tuning, epoch {self.epoch + 1} of {how.epochs}, training accuracy {so_far}")

    return Telling()
