"""Fake quantization at every place where an int8 TFLite file rounds: after each operator, or after the ReLU that is fused into it.

What each operator needs is in TFLite's 8-bit quantization specification (ai.google.dev/edge/litert/models/quantization_spec).
"""

from typing import Any

from pipeline.compress.fake_quantize.fold_batch_norm import Folded
from pipeline.errors import StageError
from pipeline.frameworks import Array
from pipeline.frameworks.keras_graph import Copies, consumers, nodes_of, rebuild
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasNode, KerasTensor, LayerConfig

FIXED = {"sigmoid": (0.0, 255 / 256), "softmax": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}
"""Ranges that the specification prescribes for outputs: scale 1/256 with zero at -128, scale 1/128 with zero at 0."""
FUSED = {"relu", "relu6"}  # into the operator before, which then rounds once
ALONE = {"leaky_relu", "hard_silu"}  # operators of their own
GATED = {"silu"}  # x * sigmoid(x)
NOTHING = {"Dropout", "Identity", "SpatialDropout1D", "SpatialDropout2D"}  # is left of these in a file
ONE_SCALE = {
    "AveragePooling1D", "AveragePooling2D", "Concatenate", "Cropping1D", "Cropping2D", "Flatten", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "MaxPooling1D", "MaxPooling2D", "Permute", "Reshape", "UpSampling2D", "ZeroPadding1D", "ZeroPadding2D",
}  # fmt: skip
"""Inputs and output have one. A range follows each, also where no value is a new one: without it, TensorFlow's converter (2.21)
left convolutions after a pooling in floating point."""
OWN_SCALE = {"Add", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "Multiply", "Subtract"}
FOLDED = {"BatchNormalization", "Rescaling", "SeparableConv2D"}  # fold_batch_norm makes other layers of them


def check(model: KerasModel) -> None:
    """Raise StageError for the first layer that cannot be computed in 8 bits."""
    import keras

    from pipeline.frameworks.fake_quantization import is_rounding

    if not getattr(model, "inputs", None):
        raise StageError(
            f"quantize_aware cannot look into {model.name} ({type(model).__name__}): it has no graph of layers",
            hint="Build it as keras.Model(inputs, outputs), or as keras.Sequential beginning with keras.Input.",
        )
    for x in model.inputs:
        if not str(x.dtype).startswith("float"):
            raise StageError(
                f"quantize_aware cannot round the input '{x.name}' of {model.name}: it holds {x.dtype}",
                hint="It works on networks of convolutions and dense layers over floating point rows.",
            )
    for node in nodes_of(model):
        layer = node.operation
        if isinstance(layer, keras.Model):
            check(layer)
        elif is_rounding(layer):
            raise StageError(
                f"quantize_aware: layer '{layer.name}' of {model.name} is fake-quantized already",
                hint="Use the pass once, as the last one that trains.",
            )
        elif isinstance(layer, keras.layers.BatchNormalization) and layer.axis not in (
            -1,
            len(node.outputs[0].shape) - 1,
        ):
            raise StageError(
                f"quantize_aware cannot fold layer '{layer.name}' of {model.name}: it normalises along axis {layer.axis}, and the "
                "outputs of the layer before it are along the last",
                hint="Build it as BatchNormalization(axis=-1), or take the pass out and let the converter quantize the model.",
            )
        elif not _possible(node):
            raise StageError(
                f"quantize_aware cannot compute layer '{layer.name}' ({_told(layer)}) in 8 bits",
                hint="It works on networks of convolutions, dense layers, pooling, add, multiply and concatenate. "
                "For other models take the pass out, and let the converter quantize them after training.",
            )


def insert(folded: Folded, weight_bits: int) -> KerasModel:
    """The model, as fold_batch_norm leaves it, with rounded weights and with a range after every operator; nothing is observed yet.

    Kernels are as they were before batch normalisation was folded into them, with its factor kept separately.
    """
    from pipeline.frameworks.fake_quantization import ROUNDED

    model, factors = folded
    scales = _Scales(model)
    users, copies = consumers(model), Copies()

    def visit(node: KerasNode, *args: Any, **options: Any) -> KerasTensor:
        layer, output = node.operation, node.outputs[0]
        function, kind = function_of(layer), type(layer).__name__
        if type(layer) in ROUNDED:
            own = function if _takes_relu(layer) and function in FUSED else "linear"

            factor = factors.get(layer.name, 1.0)

            def make(config: LayerConfig) -> KerasLayer:
                given = {"weight_bits": weight_bits, "activation": own, "factor": factor}
                return ROUNDED[type(layer)].from_config(config | given)

            def weights() -> list[Array]:
                kernel, *bias = layer.get_weights()
                return [kernel / factor, *bias]

            x = copies.replace(layer, make, weights, *args, **options)
            if function != own:
                x = _activated(function, scales.new(f"{layer.name}_before_{function}")(x), layer.name, scales)
        elif function in GATED:
            x = _activated(function, args[0], layer.name, scales)
        else:
            x = copies.call(layer, *args, **options)
        if kind in NOTHING or (function == "linear" and type(layer) not in ROUNDED) or _fuses(node, users[id(output)]):
            return x
        return scales.of(output)(x)

    return rebuild(model, visit, enter=lambda x: scales.of_input(x.name)(x))


def function_of(layer: KerasLayer) -> str | None:
    """Return the name of the function that a layer applies to its result; None: it is not an activation, and has none."""
    from pipeline.frameworks.fake_quantization import ROUNDED

    kind = type(layer).__name__
    if kind == "ReLU":
        if layer.threshold == 0 and layer.negative_slope == 0 and layer.max_value in (None, 6):
            return "relu6" if layer.max_value == 6 else "relu"
        return f"ReLU({layer.max_value}, {layer.negative_slope}, {layer.threshold})"
    names = {"LeakyReLU": "leaky_relu", "LeakyRelu": "leaky_relu", "Softmax": "softmax"}
    functions = {"Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Tanh": "tanh", "Silu": "silu"}
    if kind in names | functions:
        return (names | functions)[kind]
    if kind not in {"Activation", "SeparableConv2D"} and type(layer) not in ROUNDED:
        return None
    return str(getattr(layer.activation, "__name__", layer.activation))


def _possible(node: KerasNode) -> bool:
    from pipeline.frameworks.fake_quantization import ROUNDED

    layer, function, kind = node.operation, function_of(node.operation), type(node.operation).__name__
    if function is not None and function not in {"linear", *FIXED, *FUSED, *ALONE, *GATED}:
        return False
    if kind in {"Add", "Subtract", "Multiply"} and len(node.input_tensors) < 2:  # x + 1, of keras.ops
        return False
    if getattr(layer, "data_format", "channels_last") != "channels_last" or (
        kind == "UpSampling2D" and layer.interpolation != "nearest"
    ):
        return False
    weighted = type(layer) in ROUNDED or kind == "SeparableConv2D"
    if weighted and getattr(layer, "groups", 1) != 1:
        return False
    return weighted or function is not None or kind in NOTHING | ONE_SCALE | OWN_SCALE | FOLDED


def _told(layer: KerasLayer) -> str:
    function = function_of(layer)
    return type(layer).__name__ + (f", {function}" if function not in (None, "linear") else "")


def _takes_relu(layer: KerasLayer) -> bool:
    """Return whether the converter fuses a ReLU after this operator into it."""
    from pipeline.frameworks.fake_quantization import ROUNDED

    kind = type(layer).__name__
    return kind in {"Add", "Subtract", "Multiply"} or (type(layer) in ROUNDED and kind != "Conv2DTranspose")


def _fuses(node: KerasNode, users: list[KerasNode]) -> bool:
    """Return whether the only consumer is such a ReLU."""
    from pipeline.frameworks.fake_quantization import ROUNDED

    if not _takes_relu(node.operation) or function_of(node.operation) not in (None, "linear"):
        return False
    only = users[0].operation if len(users) == 1 and users[0] is not None else None
    return only is not None and type(only) not in ROUNDED and function_of(only) in FUSED


def _activated(function: str | None, x: KerasTensor, name: str, scales: "_Scales") -> KerasTensor:
    import keras

    if function not in GATED:
        return keras.layers.Activation(function, name=scales.name(f"{name}_{function}"))(x)
    gate = keras.layers.Activation("sigmoid", name=scales.name(f"{name}_sigmoid"))(x)
    gate = scales.new(f"{name}_gate", FIXED["sigmoid"])(gate)
    return keras.layers.Multiply(name=scales.name(f"{name}_{function}"))([x, gate])


class _Scales:
    """Which tensors have one range: one FakeQuantize layer for each set of them."""

    def __init__(self, model: KerasModel) -> None:
        self.parents: dict[int, int] = {}
        self.fixed: dict[int, tuple[float, float]] = {}
        self.made: dict[int, KerasLayer] = {}
        self.inputs = {x.name: id(x) for x in model.inputs}
        self.names = {id(x): x.name for x in model.inputs}
        self.name = Copies().name
        joins = []
        for node in nodes_of(model):
            output = id(node.outputs[0])
            kind, function = type(node.operation).__name__, function_of(node.operation)
            self.names[output] = node.operation.name
            if function in FIXED:
                self.fixed[output] = FIXED[function]
            if kind == "Concatenate":
                joins.append(node)
            elif kind in NOTHING | ONE_SCALE or (kind == "Activation" and function == "linear"):
                self._unite(id(node.input_tensors[0]), output)
        for node in joins:
            if len({self._fixed(id(x)) for x in node.input_tensors}) > 1:
                raise StageError(
                    f"quantize_aware cannot give the inputs of layer '{node.operation.name}' one scale: some are the output of a "
                    "sigmoid, softmax or tanh, which has a scale of its own",
                    hint="Concatenate before the activation, or take the pass out.",
                )
            for x in node.input_tensors:
                self._unite(id(x), id(node.outputs[0]))

    def of(self, tensor: KerasTensor) -> KerasLayer:
        return self._of(id(tensor))

    def of_input(self, name: str) -> KerasLayer:
        return self._of(self.inputs[name])

    def new(self, name: str, fixed: tuple[float, float] | None = None) -> KerasLayer:
        from pipeline.frameworks.fake_quantization import FakeQuantize

        return FakeQuantize(fixed, name=self.name(name))

    def _of(self, key: int) -> KerasLayer:
        root = self._root(key)
        if root not in self.made:
            self.made[root] = self.new(f"{self.names[key]}_range", self._fixed(key))
        return self.made[root]

    def _root(self, key: int) -> int:
        while key in self.parents:
            key = self.parents[key]
        return key

    def _unite(self, one: int, other: int) -> None:
        one, other = self._root(one), self._root(other)
        if one != other:
            self.parents[one] = other
            if one in self.fixed:
                self.fixed[other] = self.fixed[one]

    def _fixed(self, key: int) -> tuple[float, float] | None:
        return self.fixed.get(self._root(key))
