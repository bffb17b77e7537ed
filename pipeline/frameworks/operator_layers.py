"""Keras layers for operators of a file that no layer of Keras is, in the form in which they can be trained.

The module imports TensorFlow and Keras: import it inside functions. Importing it also lets Keras load these layers.
"""

from typing import TypeVar

import keras
import tensorflow as tf
from keras import layers

from pipeline.frameworks.types import KerasTensor, TfTensor

K = TypeVar("K", bound=type)

SMALLEST_SQUARE = 1e-12
"""Of what a root is taken while training: the third power of one over it, which its gradient has, is still a float32."""


def registered(kind: K) -> K:
    """Let Keras load a layer as edgepress>NAME, which is what it looks for. A saved file also says in which module the layer is: the
    one that users import, so that a file does not depend on where this one lies.
    """
    kind.__module__ = "edgepress.layers"
    known: K = keras.saving.register_keras_serializable(package="edgepress")(kind)
    return known


@registered
class InverseRoot(layers.Layer):  # type: ignore[misc]
    """1 / sqrt(x). In training never of 0, to which a small x may be rounded: its gradient would be no number.

    The answer is the same: what is larger than the range is its end.
    """

    def call(self, x: TfTensor, training: bool | None = None) -> TfTensor:
        return tf.math.rsqrt(tf.maximum(x, SMALLEST_SQUARE) if training else x)


@registered
class Counting(layers.Layer):  # type: ignore[misc]
    """Tokens (rows, steps) to (rows, steps, 1): 1 for each that counts, 0 for 0, which masks its step."""

    def call(self, tokens: TfTensor) -> TfTensor:
        return tf.cast(tf.not_equal(tf.expand_dims(tokens, -1), 0), "float32")

    def compute_output_spec(self, tokens: KerasTensor) -> KerasTensor:
        return keras.KerasTensor((*tokens.shape, 1), "float32")
