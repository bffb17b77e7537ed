"""Fake quantization at every place where an int8 TFLite file rounds: after each operator, or after the ReLU that is fused into it."""

from collections.abc import Mapping
from typing import Any

from pipeline.compress.fake_quantize.fold_batch_norm import Folded
from pipeline.compress.fake_quantize.functions import FIXED, FUSED, GATED, function_of
from pipeline.compress.fake_quantize.operators import WITH_ARRAYS, is_array, scale_of, takes_relu
from pipeline.errors import StageError
from pipeline.frameworks import Array
from pipeline.frameworks.keras_graph import Copies, consumers, nodes_of, rebuild
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasNode, KerasTensor, LayerConfig, Nested


def insert(folded: Folded, weight_bits: int) -> KerasModel:
    """The model, as fold_batch_norm leaves it, with rounded weights and with a range after every operator; nothing is observed yet.

    Kernels are as they were before batch normalisation was folded into them, with its factor kept separately.
    """
    from pipeline.frameworks.fake_quantization import ROUNDED

    model, factors = folded.model, folded.factors
    scales = _Scales(model, folded.together)
    users, copies = consumers(model), Copies()

    def visit(node: KerasNode, *args: Any, **options: Any) -> Nested:
        layer = node.operation
        function, scale = function_of(layer), scale_of(layer)
        if type(layer) in ROUNDED:
            own = function if takes_relu(layer) and function in FUSED else "linear"

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
            if type(layer).__name__ in WITH_ARRAYS:
                args, options = tuple(map(_constant, args)), {key: _constant(each) for key, each in options.items()}
            x = copies.call(layer, *args, **options)
        if scale == "none" or (function == "linear" and type(layer) not in ROUNDED) or _fuses(node, users):
            return x
        if len(node.outputs) > 1:
            return [scales.of(output)(each) for output, each in zip(node.outputs, x, strict=True)]
        return scales.of(node.outputs[0])(x)

    return rebuild(model, visit, enter=lambda x: scales.of_input(x.name)(x) if _is_float(x) else x)


def _constant(value: Any) -> Any:
    """Return what an operator is called with, an array as a file holds it."""
    from pipeline.frameworks.fake_quantization import on_grid

    return on_grid(value) if is_array(value) else value


def _is_float(x: KerasTensor) -> bool:
    return str(x.dtype).startswith("float")


def _fuses(node: KerasNode, users: dict[int, list[KerasNode]]) -> bool:
    """Return whether the only consumer is such a ReLU."""
    from pipeline.frameworks.fake_quantization import ROUNDED

    if not takes_relu(node.operation) or function_of(node.operation) not in (None, "linear"):
        return False
    found = users[id(node.outputs[0])]
    only = found[0].operation if len(found) == 1 and found[0] is not None else None
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

    def __init__(self, model: KerasModel, together: Mapping[str, str]) -> None:
        self.parents: dict[int, int] = {}
        self.fixed: dict[int, tuple[float, float]] = {}
        self.made: dict[int, KerasLayer] = {}
        self.inputs = {x.name: id(x) for x in model.inputs}
        self.names = {id(x): x.name for x in model.inputs}
        self.name = Copies().name
        joins, firsts = [], dict[str, int]()
        for node in nodes_of(model):
            layer, scale = node.operation, scale_of(node.operation)
            self.names |= {id(output): layer.name for output in node.outputs}
            function = function_of(layer)
            if function in FIXED:
                self.fixed[id(node.outputs[0])] = FIXED[function]
            if layer.name in together:
                self._unite(firsts.setdefault(together[layer.name], id(node.outputs[0])), id(node.outputs[0]))
            if scale == "one" and len(node.input_tensors) > 1:
                joins.append(node)
            elif scale != "own":
                for output in node.outputs:
                    self._unite(id(node.input_tensors[0]), id(output))
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
