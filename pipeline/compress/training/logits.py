"""What a classifier answers before its final softmax: cross entropy and softened answers are exact only from there.

Probabilities near 0 and 1 have lost the differences that a loss is made of: in float32 a softmax answers exactly 1 from a lead of 17 on.
"""

import contextlib
from collections.abc import Iterator

import numpy as np

from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasLayer, KerasModel, TfTensor

LEAST_PROBABILITY = 1e-7  # Keras's own epsilon, to which its cross entropy clips


@contextlib.contextmanager
def without_softmax(model: KerasModel) -> Iterator[None]:
    """Let the model answer what goes into its final softmax, inside the context. Trace a tf.function inside; a model without one stays as it is."""
    import keras

    last = final_softmax(model)
    if last is None:
        yield
    elif hasattr(last, "activation"):
        last.activation = keras.activations.linear
        try:
            yield
        finally:
            last.activation = keras.activations.softmax
    else:
        last.call = lambda x, **_: x
        try:
            yield
        finally:
            del last.call


def final_softmax(model: KerasModel) -> KerasLayer | None:
    """The operation of the graph that makes the answers, if it is (or ends in) a softmax over the classes and does nothing else."""
    import keras

    history = model.outputs[0]._keras_history  # noqa: SLF001 - where Keras keeps the graph
    last = history.operation
    while hasattr(last, "layers") and hasattr(last, "outputs"):  # a nested model
        history = last.outputs[history.tensor_index]._keras_history  # noqa: SLF001
        last = history.operation
    if len(last._inbound_nodes) != 1:  # noqa: SLF001 - it is used elsewhere too
        return None
    if isinstance(last, keras.layers.Softmax):
        return last if last.axis in (-1, len(model.outputs[0].shape) - 1) else None
    return last if getattr(last, "activation", None) is keras.activations.softmax else None


def answers_probabilities(model: KerasModel, x: Array) -> bool:
    """Return whether the answers for these rows are probabilities: not negative, and 1 together."""
    outputs = np.asarray(model(x, training=False), np.float32)
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3))


def as_logits(answers: TfTensor, *, probabilities: bool) -> TfTensor:
    """Return float32 logits; of probabilities the logarithm, which a softmax turns back into them."""
    import tensorflow as tf

    found = tf.cast(answers, "float32")
    return tf.math.log(tf.clip_by_value(found, LEAST_PROBABILITY, 1.0)) if probabilities else found
