"""Keras layers that compute as an 8-bit runtime does, in floating point, and let gradients pass straight through
(Jacob and others, arXiv 1712.05877; the straight-through estimator: Bengio and others, arXiv 1308.3432).

The module imports TensorFlow and Keras: import it inside functions. Importing it also lets Keras load these layers.
"""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers

from pipeline.frameworks.keras_graph import Copies, nodes_of, rebuild
from pipeline.frameworks.operator_layers import registered
from pipeline.frameworks.rows import Array
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasNode, KerasTensor, LayerConfig, TfTensor

STEPS = 255
"""Of int8 activations, between the lowest value and the highest (TFLite's 8-bit quantization specification)."""
FLATTEST = 1e-3
"""A channel's scale is at least this part of its layer's largest: otherwise the bias of a channel without weights would need more
than the 32 bits that it has in a file."""
NOTHING = 1e-30
"""A kernel with no larger weight counts as zero: a scale for it would leave the range of normal float32 numbers."""

NARROWEST = 1e-4
"""Of all ranges, for the same reason: a tensor that is always zero has none of its own."""


def levels(bits: int) -> int:
    """Steps on each side of zero: symmetric, and narrow so that -128 is never needed (the same specification)."""
    return int(2 ** (bits - 1) - 1)


def grid(low: float, high: float) -> tuple[float, int]:
    """Return the scale and the place of zero of 256 values: the nearest to this range that hold zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(high - low, NARROWEST) / STEPS
    return scale, round(-low / scale)


def on_grid(values: npt.ArrayLike) -> Array:
    """Return an array of constants as a file holds it: 256 values over its own range."""
    array = np.asarray(values, np.float64)
    scale, zero = grid(float(array.min()), float(array.max()))
    return (np.clip(np.rint(array / scale), -zero, STEPS - zero) * scale).astype(np.float32)


@registered
class FakeQuantize(layers.Layer):  # type: ignore[misc]
    """Rounds a tensor to 256 values between `low` and `high`, of which one is zero.

    `fixed` is a range that an operator prescribes: probabilities and the like, which pass as they are in training, where rounding to 0
    would end what can be learned from them. Else the range is what was seen while `observing`, when values pass as they are too.
    """

    def __init__(self, fixed: tuple[float, float] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.fixed = None if fixed is None else (float(fixed[0]), float(fixed[1]))
        self.observing = False

    def build(self, shape: tuple[int | None, ...]) -> None:
        del shape
        self.low, self.high = (
            self.add_weight(name=name, shape=(), initializer=keras.initializers.Constant(value), trainable=False)
            for name, value in zip(("low", "high"), self.fixed or (0.0, 0.0), strict=True)
        )

    def call(self, x: TfTensor, training: bool | None = None) -> TfTensor:
        if self.fixed is None and self.observing:
            self.low.assign(tf.minimum(self.low, tf.reduce_min(x)))
            self.high.assign(tf.maximum(self.high, tf.reduce_max(x)))
        if self.observing or (self.fixed is not None and training):
            return x
        low, high = (tf.cast(limit, tf.float32) for limit in (self.low, self.high))
        return tf.cast(tf.quantization.fake_quant_with_min_max_vars(tf.cast(x, tf.float32), low, high), x.dtype)

    def compute_output_spec(self, x: KerasTensor, training: bool | None = None) -> KerasTensor:
        del training
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> LayerConfig:
        config: LayerConfig = super().get_config()
        return config | {"fixed": self.fixed}

    @property
    def scale(self) -> float:
        """Distance of two neighbouring values."""
        return float(np.asarray(self.high) - np.asarray(self.low)) / STEPS

    def set_range(self, low: float, high: float) -> None:
        """The nearest range that holds zero and of whose 256 values one is zero."""
        scale, zero = grid(low, high)
        self.low.assign(-zero * scale)
        self.high.assign((STEPS - zero) * scale)


class _Factor:
    """Holds a variable that is not one of the layer's weights: no file has it, and what was traced before it changed reads it again."""

    def __init__(self, values: npt.ArrayLike) -> None:
        self.variable = keras.Variable(np.asarray(values, np.float32), trainable=False, name="factor")


class Rounded:
    """The part of a layer whose kernel is rounded to at most 2^weight_bits - 1 values, zero in their middle.

    Each output channel (the last axis of the kernel) has its own scale, its largest weight; or all have one.

    `factor` is what batch normalisation multiplies each channel of the kernel by, in a shape that broadcasts. While it trains, the
    kernel is as it was before it: a step of Adam is as large whatever the weights are, so what is a small step for a kernel of 0.3 ruins
    the same kernel once a factor of 1/60 is in it. `settle` puts it in.
    """

    PER_CHANNEL = True

    def __init__(self, weight_bits: int = 8, factor: npt.ArrayLike | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.weight_bits = weight_bits
        self.stored_bits = weight_bits  # of the integers in a file; 8 where a converter has no smaller ones
        self.factor = _Factor(1.0 if factor is None else factor)

    def get_config(self) -> LayerConfig:
        config: LayerConfig = super().get_config()  # type: ignore[misc]
        factor = np.asarray(self.factor.variable)
        return config | {"weight_bits": self.weight_bits} | ({} if (factor == 1).all() else {"factor": factor.tolist()})

    def call(self, inputs: TfTensor) -> TfTensor:
        with keras.StatelessScope([(self.kernel, self.rounded(self.kernel))]):  # type: ignore[attr-defined]
            return super().call(inputs)  # type: ignore[misc]

    def rounded(self, kernel: TfTensor) -> TfTensor:
        """The kernel as a runtime has it. Its gradient is that of the kernel times its factor."""
        columns = self.columns(kernel * self.factor.variable)
        limit = self.scales(columns) * levels(self.stored_bits)
        fake = tf.quantization.fake_quant_with_min_max_vars
        if self.PER_CHANNEL:
            fake = tf.quantization.fake_quant_with_min_max_vars_per_channel
        rounded = fake(columns, -limit, limit, num_bits=self.stored_bits, narrow_range=True)
        return tf.reshape(rounded, kernel.shape)

    def columns(self, kernel: TfTensor) -> TfTensor:
        """Return the kernel with its output channels on the last axis."""
        return tf.cast(kernel, tf.float32)

    def scales(self, columns: TfTensor) -> TfTensor:
        """Distance of two neighbouring values, of each channel or of all."""
        largest = tf.reduce_max(tf.abs(columns))
        limit = tf.reduce_max(tf.abs(columns), axis=range(len(columns.shape) - 1)) if self.PER_CHANNEL else largest
        limit = tf.maximum(limit, tf.where(largest > NOTHING, largest * FLATTEST, 1.0))
        return tf.stop_gradient(limit) / levels(self.weight_bits)

    def settle(self, input_scale: float) -> None:
        """Assign the kernel and the bias the values that they have in a file: the bias in steps of the products.

        Left as it is, a bias would be off by up to half such a step in the file. The layers after it amplify that: in the example model
        the file's answer was then more than one step away for 14 % of the rows, and is for less than 1 % (measured).
        """
        folded = self.kernel * self.factor.variable  # type: ignore[attr-defined]
        scales = np.asarray(self.scales(self.columns(folded)), np.float64)
        self.kernel.assign(self.rounded(self.kernel))  # type: ignore[attr-defined]
        self.factor.variable.assign(np.ones(self.factor.variable.shape, np.float32))
        if self.use_bias:  # type: ignore[attr-defined]
            step = scales * input_scale
            self.bias.assign(np.rint(np.asarray(self.bias, np.float64) / step) * step)  # type: ignore[attr-defined]


@registered
class FakeQuantizedConv1D(Rounded, layers.Conv1D):  # type: ignore[misc]
    """Conv1D, with one scale: it becomes a Conv2D in the file, and TensorFlow's converter cannot reshape several."""

    PER_CHANNEL = False


@registered
class FakeQuantizedConv2D(Rounded, layers.Conv2D):  # type: ignore[misc]
    """Conv2D."""


@registered
class FakeQuantizedDepthwiseConv2D(Rounded, layers.DepthwiseConv2D):  # type: ignore[misc]
    """DepthwiseConv2D: input channel and multiplier together are the output channel."""

    def columns(self, kernel: TfTensor) -> TfTensor:
        height, width, channels, multiplier = kernel.shape
        return tf.reshape(tf.cast(kernel, tf.float32), (height, width, channels * multiplier))


@registered
class FakeQuantizedDepthwiseConv1D(Rounded, layers.DepthwiseConv1D):  # type: ignore[misc]
    """DepthwiseConv1D, with one scale, for the reason that Conv1D has one."""

    PER_CHANNEL = False


@registered
class FakeQuantizedConv1DTranspose(Rounded, layers.Conv1DTranspose):  # type: ignore[misc]
    """Conv1DTranspose, with one scale."""

    PER_CHANNEL = False


@registered
class FakeQuantizedConv2DTranspose(Rounded, layers.Conv2DTranspose):  # type: ignore[misc]
    """Conv2DTranspose, with one scale: the channels are not the kernel's last axis, and TensorFlow's converter refuses others."""

    PER_CHANNEL = False


@registered
class FakeQuantizedDense(Rounded, layers.Dense):  # type: ignore[misc]
    """Dense, with one scale: TensorFlow's converter refuses one for each unit (2.21: "mismatched quantized axes")."""

    PER_CHANNEL = False


ROUNDED: dict[type[KerasLayer], type[KerasLayer]] = {
    layers.Conv1D: FakeQuantizedConv1D,
    layers.Conv2D: FakeQuantizedConv2D,
    layers.DepthwiseConv1D: FakeQuantizedDepthwiseConv1D,
    layers.DepthwiseConv2D: FakeQuantizedDepthwiseConv2D,
    layers.Conv1DTranspose: FakeQuantizedConv1DTranspose,
    layers.Conv2DTranspose: FakeQuantizedConv2DTranspose,
    layers.Dense: FakeQuantizedDense,
}
"""Layer of Keras -> the same layer with a rounded kernel."""


def is_rounding(layer: KerasLayer) -> bool:
    """Return whether the layer is one of this module."""
    return isinstance(layer, FakeQuantize | Rounded)


def ranges_of(model: KerasModel) -> list[FakeQuantize]:
    return [layer for layer in model.layers if isinstance(layer, FakeQuantize)]


def rounded_of(model: KerasModel) -> list[KerasLayer]:
    return [layer for layer in model.layers if isinstance(layer, Rounded)]


def before_fixed_output(model: KerasModel) -> KerasModel:
    """The same layers without the rounding of a prescribed output range: what a training sees, which looks for the final softmax."""
    ends = {
        id(node.outputs[0]): node.input_tensors[0]
        for node in nodes_of(model)
        if isinstance(node.operation, FakeQuantize) and node.operation.fixed is not None
    }
    return keras.Model(model.inputs, [ends.get(id(x), x) for x in model.outputs], name=model.name)


def settle(model: KerasModel) -> None:
    """Round kernels and biases to what they are in a file, so that nothing is left for a converter to round."""
    scales: dict[int, float] = {}
    for node in nodes_of(model):
        layer, source = node.operation, id(node.input_tensors[0])
        if isinstance(layer, Rounded):
            layer.settle(scales[source])
        known = layer.scale if isinstance(layer, FakeQuantize) else scales.get(source)
        if known is not None:  # an operator without a range of its own keeps the values' scale
            scales[id(node.outputs[0])] = known


def plain(model: KerasModel) -> KerasModel:
    """Return the model without fake quantization: rounded weights in Keras's own layers."""
    copies = Copies()
    kinds = {kind: base for base, kind in ROUNDED.items()}

    def visit(node: KerasNode, *args: Any, **options: Any) -> KerasTensor:
        layer = node.operation
        if isinstance(layer, FakeQuantize):
            return args[0]
        if not isinstance(layer, Rounded):
            return copies.call(layer, *args, **options)

        def make(config: LayerConfig) -> KerasLayer:
            return kinds[type(layer)].from_config(
                {key: config[key] for key in config if key not in {"weight_bits", "factor"}}
            )

        def weights() -> list[Array]:
            bias = [np.asarray(layer.bias)] if layer.use_bias else []  # type: ignore[attr-defined]
            return [np.asarray(layer.rounded(layer.kernel)), *bias]  # type: ignore[attr-defined]

        return copies.replace(layer, make, weights, *args, **options)

    return rebuild(model, visit)
