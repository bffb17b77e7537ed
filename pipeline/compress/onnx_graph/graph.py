"""An ONNX graph as the passes see it: constants as arrays, who makes and who reads a tensor, and the layers that hold weights."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from pipeline.errors import ModelError
from pipeline.frameworks import Array
from pipeline.frameworks.types import OnnxModel, OnnxNode, OnnxTensor, OnnxValue
from pipeline.records import TensorSpec

RESHAPING = ("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity")
"""Of a constant these are computed once. None of them makes more values than it gets."""
OLDEST_IR = 4  # initializers need not be inputs since then: https://github.com/onnx/onnx/blob/main/docs/IR.md


class Layer(NamedTuple):
    """A convolution or matrix product whose weights are a constant.

    Axes are those of the weights: Conv (out, in / groups, ...), ConvTranspose (in, out, ...), MatMul and Gemm (in, out) or
    transposed. `bias` is the node and input where the bias stands or can be put; None: there is no such place.
    """

    name: str
    node: OnnxNode
    output_axis: int
    input_axis: int
    groups: int
    output: str  # the tensor after the bias
    channel_axis: int  # of that tensor
    bias: tuple[OnnxNode, int] | None


class Graph:
    """The connections of an onnx.ModelProto, which is changed in place. Constant nodes become initializers."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model
        self._lift_constants()
        self.constants: dict[str, OnnxTensor] = {tensor.name: tensor for tensor in model.graph.initializer}
        self._drop_default_inputs()
        self._fold_reshaped_constants()
        self.connect()

    def connect(self) -> None:
        """Find again who makes and who reads each tensor; needed after nodes were added or removed."""
        graph = self.model.graph
        self.nodes = list(graph.node)
        self.producer = {name: node for node in self.nodes for name in node.output if name}
        self.readers: dict[str, list[OnnxNode]] = {}
        for node in self.nodes:
            for name in reads(node):
                self.readers.setdefault(name, []).append(node)
        self.outputs = {value.name for value in graph.output}
        self.uses = Counter(name for node in self.nodes for name in reads(node))

    def _lift_constants(self) -> None:
        from onnx import numpy_helper

        graph, kept = self.model.graph, []
        for node in graph.node:
            value = next((a for a in node.attribute if a.name == "value"), None) if node.op_type == "Constant" else None
            if value is None:
                kept.append(node)
                continue
            tensor = numpy_helper.from_array(numpy_helper.to_array(value.t), node.output[0])
            graph.initializer.append(tensor)
        del graph.node[:]
        graph.node.extend(kept)

    def _drop_default_inputs(self) -> None:
        """Old files list every initializer as an input too, as a default that a caller could override."""
        graph = self.model.graph
        kept = [value for value in graph.input if value.name not in self.constants]
        if len(kept) < len(graph.input):
            del graph.input[:]
            graph.input.extend(kept)
            self.model.ir_version = max(OLDEST_IR, self.model.ir_version)

    def _fold_reshaped_constants(self) -> None:
        from onnx import numpy_helper
        from onnx.reference import ReferenceEvaluator

        graph, kept = self.model.graph, []
        outputs = {value.name for value in graph.output}
        opsets = {entry.domain: entry.version for entry in self.model.opset_import}
        for node in graph.node:
            given = {name: self.value(name) for name in node.input if name}
            if node.op_type not in RESHAPING or None in map(type_of, given.values()) or node.output[0] in outputs:
                kept.append(node)
                continue
            (values,) = ReferenceEvaluator(node, opsets=opsets).run(None, given)
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), node.output[0]))
            self.constants[node.output[0]] = graph.initializer[-1]
        del graph.node[:]
        graph.node.extend(kept)

    def value(self, name: str) -> Array | None:
        """Return the constant of this name; None if it is not a constant."""
        from onnx import numpy_helper

        tensor = self.constants.get(name)
        if tensor is None:
            return None
        values: Array = numpy_helper.to_array(tensor)
        return values

    def input_value(self, node: OnnxNode, index: int) -> Array | None:
        """Return the constant that a node reads; None if the input is absent or computed."""
        return self.value(node.input[index]) if index < len(node.input) else None

    def replace(self, name: str, values: Array) -> None:
        """Give a constant other values, for all that read it."""
        from onnx import numpy_helper

        self.constants[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))

    def put(self, node: OnnxNode, index: int, values: Array) -> None:
        """Let a node read these values; other readers of the same constant keep the old ones."""
        from onnx import numpy_helper

        node.input.extend([""] * (index + 1 - len(node.input)))
        old = node.input[index]
        if old in self.constants and self.uses[old] == 1 and old not in self.outputs:
            self.replace(old, values)
            return
        base, i = old or f"{node.output[0]}_bias", 0
        while (name := f"{base}_{i}") in self.constants or name in self.producer:
            i += 1
        self.model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        self.constants[name] = self.model.graph.initializer[-1]
        node.input[index] = name
        self.uses[old] -= 1
        self.uses[name] = 1
        self.readers.setdefault(name, []).append(node)

    def only_reader(self, name: str) -> OnnxNode | None:
        """Return the one node that reads this tensor; None if there are several, or it is an output."""
        return self.readers[name][0] if self.uses[name] == 1 and name not in self.outputs else None

    def tidy(self) -> None:
        """Drop constants that nothing reads any more, and shapes that were written down for tensors."""
        graph = self.model.graph
        self.connect()
        kept = [tensor for tensor in graph.initializer if tensor.name in self.uses or tensor.name in self.outputs]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        del graph.value_info[:]

    def weight(self, layer: Layer) -> Array:
        values = self.input_value(layer.node, 1)
        assert values is not None  # layers() looked
        return values

    def bias(self, layer: Layer) -> Array:
        """Return the bias (channels,); zeros where there is none yet."""
        channels = self.channels(layer)
        values = None if layer.bias is None else self.input_value(*layer.bias)
        return np.zeros(channels, np.float32) if values is None else np.broadcast_to(values.reshape(-1), channels)

    def put_bias(self, layer: Layer, values: Array) -> None:
        assert layer.bias is not None
        old = self.input_value(*layer.bias)
        shape = (-1,) if old is None or old.size == 1 else old.shape
        self.put(*layer.bias, values.reshape(shape).astype(self.weight(layer).dtype))

    def channels(self, layer: Layer) -> int:
        """Return how many channels a layer makes."""
        return int(self.weight(layer).shape[layer.output_axis])

    def depthwise(self, layer: Layer) -> bool:
        """Return whether each output channel reads just one input channel of its own."""
        return layer.node.op_type == "Conv" and layer.groups > 1 and self.weight(layer).shape[1] == 1

    def norm_behind(self, layer: Layer) -> OnnxNode | None:
        """Return the batch normalisation that alone reads what a layer answers, if its values are constants."""
        node = self.only_reader(layer.output)
        if node is None or node.op_type != "BatchNormalization" or node.input[0] != layer.output:
            return None
        if attribute(node, "training_mode", 0):
            return None
        return node if all(self.input_value(node, i) is not None for i in range(1, 5)) else None

    def layers(self) -> Iterator[Layer]:
        """Yield every convolution and matrix product with constant floating point weights, in the order of the graph.

        Transposed convolutions in groups are left out: their weights do not number the outputs along one axis.
        """
        for node in self.nodes:
            if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") and node.domain in ("", "ai.onnx"):
                weight = self.input_value(node, 1)
                if weight is not None and np.issubdtype(weight.dtype, np.floating) and weight.ndim >= 2:
                    yield from self._layer(node, weight)

    def _layer(self, node: OnnxNode, weight: Array) -> Iterator[Layer]:
        name, output = name_of(node), node.output[0]
        if node.op_type in ("Conv", "ConvTranspose"):
            out, groups = (0 if node.op_type == "Conv" else 1), attribute(node, "group", 1)
            if self._plain_bias(node, weight.shape[out]) and (groups == 1 or out == 0):
                yield Layer(name, node, out, 1 - out, groups, output, 1, (node, 2))
        elif node.op_type == "Gemm" and plain_gemm(node):
            out = 0 if attribute(node, "transB", 0) else 1
            if self._plain_bias(node, weight.shape[out]):
                yield Layer(name, node, out, 1 - out, 1, output, -1, (node, 2))
        elif node.op_type == "MatMul" and weight.ndim == 2:
            adder = self.only_reader(output)
            place = None if adder is None else self.added(adder, output, weight.shape[1])
            yield Layer(name, node, 1, 0, 1, adder.output[0] if adder and place else output, -1, place)

    def _plain_bias(self, node: OnnxNode, channels: int) -> bool:
        """Return whether a node's third input is absent, or a constant with one value for each channel or for all."""
        if len(node.input) < 3 or not node.input[2]:
            return True
        values = self.input_value(node, 2)
        return values is not None and values.size in (1, channels)

    def added(self, adder: OnnxNode, output: str, channels: int) -> tuple[OnnxNode, int] | None:
        """Return node and input of the bias if this node adds one value for each entry of the last axis."""
        if adder.op_type != "Add" or output not in adder.input:
            return None
        index = 1 - list(adder.input).index(output)
        values = self.input_value(adder, index)
        fits = values is not None and values.size == channels and values.shape[-1:] == (channels,)
        return (adder, index) if fits else None


def inputs_of(model: OnnxModel) -> tuple[TensorSpec, ...]:
    """Names, shapes of whole tensors and dtypes of what a caller gives."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return tuple(_spec(value) for value in model.graph.input if value.name not in constants)


def outputs_of(model: OnnxModel) -> tuple[TensorSpec, ...]:
    return tuple(_spec(value) for value in model.graph.output)


def _spec(value: OnnxValue) -> TensorSpec:
    from onnx import helper

    tensor = value.type.tensor_type
    shape = tuple(size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim)
    dtype = str(helper.tensor_dtype_to_np_dtype(tensor.elem_type)) if tensor.elem_type else "unknown"
    return TensorSpec(
        name=value.name, shape=shape if tensor.HasField("shape") else None, dtype=dtype, tensor=value.name
    )


def copy_of(model: OnnxModel) -> Graph:
    """Return the graph of a copy: the model itself stays as it is."""
    copy = type(model)()
    copy.CopyFrom(model)
    return Graph(copy)


def plain_gemm(node: OnnxNode) -> bool:
    """Return whether a Gemm is just x W + b."""
    return not attribute(node, "transA", 0) and attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0


def name_of(node: OnnxNode) -> str:
    """Return what a node is called in settings and messages: its name, or that of its output where it has none."""
    return str(node.name or node.output[0])


def attribute(node: OnnxNode, name: str, default: Any) -> Any:
    """Return the value of a node's attribute."""
    from onnx import helper

    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def reads(node: OnnxNode) -> list[str]:
    """Return the names of all tensors that a node reads, those of the bodies of loops and branches included."""
    found = [name for name in node.input if name]
    for each in node.attribute:
        for body in (each.g, *each.graphs) if each.HasField("g") or each.graphs else ():
            found += [name for inner in body.node for name in reads(inner)]
    return found


def refuse_external_data(model: OnnxModel, name: str) -> None:
    """Raise ModelError if weights stand in a second file."""
    from onnx.external_data_helper import uses_external_data

    for tensor in model.graph.initializer:
        if uses_external_data(tensor):
            raise ModelError(
                f"{name} keeps its weights ('{tensor.name}') in a second file",
                hint="Save it as one file: onnx.save(onnx.load('model.onnx'), 'whole.onnx').",
            )


def type_of(value: Array | None) -> type | None:
    return None if value is None else type(value)
