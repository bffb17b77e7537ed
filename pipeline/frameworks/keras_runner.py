"""A Keras model as a runner: answers by name, in batches where its rows do not know of each other; state, channels first."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.errors import CannotRunError
from pipeline.frameworks.batches import batched_answers, in_batches
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.feeds import Feed, Feeds
from pipeline.frameworks.keras_signature import called, keras_signature, reset, stateful
from pipeline.frameworks.rows import Array, Count
from pipeline.frameworks.runner import Runner, State
from pipeline.frameworks.types import KerasModel, TfTensor
from pipeline.records import TensorSpec

CHANNELS_FIRST = "only supports the NHWC", "only supports NHWC", "only support NHWC"
"""What TensorFlow's kernels for CPUs say of convolutions with channels first; compiled by XLA they run."""


class KerasRunner(Runner):
    """What the model answers at inference."""

    def __init__(self, model: KerasModel, name: str) -> None:
        """ModelError if the model does not say what it takes, or takes text."""
        self.model, self.name = model, name
        self.inputs, self.outputs = keras_specs(model, name)
        self._answer = _function(model, name)
        self.keeps_state = bool(stateful(model))

    def run(self, feed: Feed) -> list[Array]:
        dtypes = {each.name: each.dtype for each in self.inputs}
        try:
            found = self._answer(
                {name: x if x.dtype.kind != "f" else x.astype(dtypes[name], copy=False) for name, x in feed.items()}
            )
            return [_plain(found[each.name]) for each in self.outputs]
        except Exception as error:
            raise CannotRunError(
                f"Keras cannot run {self.name}: {cause_of(error)}",
                hint="Does model.predict answer such rows in the program that made it? Save it again from there.",
            ) from error

    def reset(self) -> None:
        if self.keeps_state:
            reset(self.model)

    def in_other_kernels(self) -> None:
        """It is not a file that boards run."""

    def answers(self, feeds: Feeds, folder: Path, count: Count, state: State = ()) -> tuple[Array, ...]:
        if self.keeps_state or state or not in_batches(self, feeds):
            return super().answers(feeds, folder, count, state)
        return batched_answers(self, feeds, folder, count)


def keras_specs(model: KerasModel, name: str) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the inputs and the outputs of a Keras model, by name."""
    signature = keras_signature(model, name)
    return signature.inputs, signature.outputs


def _function(model: KerasModel, name: str) -> Callable[[Feed], dict[str, TfTensor]]:
    """The model as a graph. Convolutions with channels first have no kernels for CPUs, and are compiled by XLA then."""
    import tensorflow as tf

    signature = keras_signature(model, name)

    def answer(block: dict[str, TfTensor]) -> dict[str, TfTensor]:
        return called(model, signature, block)

    plain, compiled = tf.function(answer, reduce_retracing=True), tf.function(answer, jit_compile=True)
    chosen = [plain]

    def run(feed: Feed) -> dict[str, TfTensor]:
        tensors = {key: tf.constant(x) for key, x in feed.items()}
        try:
            found: dict[str, TfTensor] = chosen[0](tensors)
        except tf.errors.OpError as error:
            if chosen[0] is compiled or not any(each in str(error) for each in CHANNELS_FIRST):
                raise
            chosen[0] = compiled
            found = compiled(tensors)
        return found

    return run


def _plain(value: TfTensor) -> Array:
    found: Array = np.asarray(value)
    return (
        found.astype(np.float32) if np.issubdtype(found.dtype, np.floating) or found.dtype.name == "bfloat16" else found
    )
