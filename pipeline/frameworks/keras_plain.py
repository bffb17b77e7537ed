"""Operations of Keras in a form that converters know: for the time in which a model is traced for a file.

Keras 3.15 wraps a grouped convolution in a function for XLA, which tf2onnx does not inline, and writes the argmax of floats with operators
that neither TFLite nor ONNX has, to tell -0.0 from 0.0.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pipeline.frameworks.types import KerasModel, TfTensor


@contextlib.contextmanager
def plain_operations() -> Iterator[None]:
    """Change Keras's backend until the end of the block."""
    import tensorflow as tf
    from keras.src.backend.tensorflow import nn, numpy

    before = nn.tf, numpy.argmax, numpy.argmin
    nn.tf, numpy.argmax, numpy.argmin = _WithoutXla(tf), _place_of(tf.argmax), _place_of(tf.argmin)
    try:
        yield
    finally:
        nn.tf, numpy.argmax, numpy.argmin = before


class _WithoutXla:
    """TensorFlow, but `function` leaves no function of its own in the graph."""

    def __init__(self, tf: Any) -> None:
        self._tf = tf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tf, name)

    @staticmethod
    def function(*_: object, **__: object) -> Callable[[Any], Any]:
        return lambda inner: inner


def _place_of(find: Callable[..., TfTensor]) -> Callable[..., TfTensor]:
    def place(x: Any, axis: int | None = None, keepdims: bool = False) -> TfTensor:
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
        found = find(tf.reshape(x, [-1]) if axis is None else x, axis=0 if axis is None else axis, output_type="int32")
        if keepdims:
            found = tf.reshape(found, [1] * x.ndim) if axis is None else tf.expand_dims(found, axis)
        return found

    return place


def constants_of_numpy(model: KerasModel) -> None:
    """Let layers keep their constants, such as the mean of a Normalization, as arrays: tf2onnx takes a tensor for an input."""
    import tensorflow as tf

    for layer in model._flatten_layers():  # noqa: SLF001 - Keras has no public way into layers in layers
        for name, value in list(vars(layer).items()):
            if isinstance(value, tf.Tensor):
                object.__setattr__(layer, name, np.asarray(value))
