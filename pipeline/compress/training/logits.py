"""What a classifier answers before its final softmax: cross entropy and softened answers are exact only from there.

Probabilities near 0 and 1 have lost the differences that a loss is made of: in float32 a softmax answers exactly 1 from a lead of 17 on.
"""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.compress.rows import called
from pipeline.frameworks import Array
from pipeline.frameworks.keras_graph import nodes_of
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasTensor, TfTensor

LEAST_PROBABILITY = 1e-7  # Keras's own epsilon, to which its cross entropy clips


@contextlib.contextmanager
def without_softmax(model: KerasModel, outputs: Sequence[int] = (0,)) -> Iterator[None]:
    """Let these outputs answer what goes into their final softmax, inside the context. Trace a tf.function inside; one without a softmax
    stays as it is.
    """
    import keras

    found = {id(last): last for each in outputs if (last := final_softmax(model, each)) is not None}
    for last in found.values():
        if hasattr(last, "activation"):
            last.activation = keras.activations.linear
        else:
            last.call = lambda x, **_: x
    try:
        yield
    finally:
        for last in found.values():
            if hasattr(last, "activation"):
                last.activation = keras.activations.softmax
            else:
                del last.call


def final_softmax(model: KerasModel, output: int = 0) -> KerasLayer | None:
    """The operation of the graph that makes these answers, if it is (or ends in) a softmax over the classes and does nothing else."""
    import keras

    tensor, outer = model.outputs[output], model
    last = tensor._keras_history.operation  # noqa: SLF001 - where Keras keeps the graph
    while hasattr(last, "layers") and hasattr(last, "outputs"):  # a nested model
        if _is_read(outer, tensor):
            return None
        tensor, outer = last.outputs[tensor._keras_history.tensor_index], last  # noqa: SLF001
        last = tensor._keras_history.operation  # noqa: SLF001
    if len(last._inbound_nodes) != 1 or _is_read(outer, tensor):  # noqa: SLF001 - it is used elsewhere too
        return None
    if isinstance(last, keras.layers.Softmax):
        return last if last.axis in (-1, len(tensor.shape) - 1) else None
    return last if getattr(last, "activation", None) is keras.activations.softmax else None


def _is_read(model: KerasModel, tensor: KerasTensor) -> bool:
    """Return whether another output of the model is made of this one."""
    return len(model.outputs) > 1 and any(x is tensor for node in nodes_of(model) for x in node.input_tensors)


def answers_probabilities(model: KerasModel, x: Sequence[Array], output: int = 0) -> bool:
    """Return whether the answers for these rows are probabilities: not negative, and 1 together."""
    answers = np.asarray(called(model, x, training=False)[output], np.float32)
    return bool((answers >= 0).all() and np.allclose(answers.sum(axis=-1), 1, atol=1e-3))


def is_distribution(model: KerasModel, answers: Array, output: int) -> bool:
    """Return whether these answers of an output are probabilities along the last axis: by its last layer, else by themselves."""
    if final_softmax(model, output) is not None:
        return True
    values = np.asarray(answers, np.float32)
    return bool((values >= 0).all() and np.allclose(values.sum(axis=-1), 1, atol=1e-3))


def is_probability(model: KerasModel, answers: Array, output: int) -> bool:
    """Return whether each of these answers is a probability of its own: a sigmoid's are, a layer's without activation are not."""
    import keras

    last = model.outputs[output]._keras_history.operation  # noqa: SLF001 - where Keras keeps the graph
    activation = getattr(last, "activation", None)
    if activation in (keras.activations.sigmoid, keras.activations.hard_sigmoid):
        return True
    values = np.asarray(answers, np.float32)
    return activation is not keras.activations.linear and bool(((values >= 0) & (values <= 1)).all())


def as_logits(answers: TfTensor, *, probabilities: bool) -> TfTensor:
    """Return float32 logits; of probabilities the logarithm, which a softmax turns back into them."""
    import tensorflow as tf

    found = tf.cast(answers, "float32")
    return tf.math.log(tf.clip_by_value(found, LEAST_PROBABILITY, 1.0)) if probabilities else found
