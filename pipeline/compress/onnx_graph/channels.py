"""Which channels of an ONNX graph live and die together.

Every channel of every tensor gets a number, and the graph is run with numbers in the place of values: a convolution makes new ones,
an activation passes them on, Add joins those that meet, Flatten repeats them. What must hold together is joined in a union-find; what
an operator that is not known here reads or writes is kept whole, with the reason. (DepGraph, arXiv 2301.12900, has the same aim with
rules for pairs of layers.)

The numbers of a tensor have its rank, with length 1 along every axis where they do not change.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pipeline.compress.onnx_graph.graph import Graph, attribute, name_of
from pipeline.compress.onnx_graph.numbering import Numbers
from pipeline.frameworks import Array
from pipeline.frameworks.types import OnnxNode

PASSING = (
    "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Mish", "ThresholdedRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh",
    "Softplus", "Softsign", "Erf", "Exp", "Log", "Sqrt", "Neg", "Abs", "Reciprocal", "Clip", "Identity", "Dropout", "Cast", "Floor",
    "Ceil", "Round", "Sign",
)  # fmt: skip
ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "PRelu")
POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "GlobalLpPool")
REDUCTIONS = ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare")
SAME_VALUES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")


class Cut(NamedTuple):
    """An axis of a constant that loses the entries whose channel dies."""

    node: OnnxNode
    at: int  # the node's input where it stands
    axis: int
    ids: Array  # (length of the axis,)
    role: str  # makes, reads or follows


class Channels:
    """The channels of a graph. `shapes` holds the shape of every tensor, for a batch of 1."""

    def __init__(self, graph: Graph, shapes: dict[str, tuple[int, ...]], exclude: Iterable[str] = ()) -> None:
        self.graph, self.shapes = graph, shapes
        self.numbers = Numbers()
        self.ids: dict[str, Array] = {}
        self.cuts: list[Cut] = []
        self.reshapes: list[tuple[OnnxNode, int]] = []  # whose target shape may change, and the input where it stands
        self.layers = {layer.node.output[0]: layer for layer in graph.layers()}
        self.exclude = set(exclude)
        for value in graph.model.graph.input:
            self.ids[value.name] = self._whole(value.name, "they are the model's input")
        for node in graph.nodes:
            self._trace(node)
        for name in graph.outputs:
            self.keep(name, "they are the model's output")
        self._settle()

    def keep(self, name: str, why: str) -> None:
        """Keep all channels of a tensor."""
        if name in self.ids:
            self.numbers.keep(self.ids[name], why)

    def _whole(self, name: str, why: str) -> Array:
        ids = self.numbers.new(1).reshape((1,) * len(self.shapes.get(name, ())))
        self.numbers.keep(ids, why)
        return ids

    # --- operators

    def _trace(self, node: OnnxNode) -> None:
        data = [name for name in node.input if name in self.ids]
        if not data:
            return  # computed from constants and shapes alone
        kind = node.op_type
        output = node.output[0]
        if node.domain not in ("", "ai.onnx") or output not in self.shapes:
            done = False
        elif kind in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            done = self._layer(node)
        elif kind in PASSING:
            done = self._store(output, self.ids[data[0]])
        elif kind in ELEMENTWISE:
            done = self._elementwise(node)
        elif kind in POOLS:
            done = self._store(output, self._along(data[0], 1))
        elif kind in ("BatchNormalization", "InstanceNormalization"):
            done = self._normalise(node)
        elif kind in SAME_VALUES:
            done = self._reshape(node)
        elif kind == "Transpose":
            order = attribute(node, "perm", range(len(self.shapes[data[0]]))[::-1])
            done = self._store(output, self.ids[data[0]].transpose(order))
        elif kind == "Concat":
            done = self._concat(node)
        elif kind in REDUCTIONS:
            done = self._reduce(node)
        elif kind in ("Pad", "Resize", "Upsample"):
            done = self._same_channels(node)
        elif kind == "Shape":
            return  # it gives the new length by itself
        else:
            done = False
        if not done:
            self._unknown(node, data)

    def _unknown(self, node: OnnxNode, data: list[str]) -> None:
        why = f"{node.op_type} '{name_of(node)}' reads them"
        for name in data:
            self.keep(name, why)
        for name in filter(None, node.output):
            self.ids[name] = self._whole(name, f"{node.op_type} '{name_of(node)}' makes them")

    def _store(self, name: str, ids: Array) -> bool:
        for axis in range(ids.ndim):
            if ids.shape[axis] > 1 and (ids == ids.take([0], axis)).all():
                ids = ids.take([0], axis)
        self.ids[name] = ids
        return True

    def _along(self, name: str, axis: int) -> Array:
        """Return the numbers of a tensor as (1, ..., channels, ..., 1): each channel is one, wherever it is read."""
        ids, length = self.ids[name], self.shapes[name][axis]
        flat = np.moveaxis(ids, axis, 0).reshape(ids.shape[axis], -1)
        self.numbers.join(flat, flat[:, :1])
        shape = [1] * ids.ndim
        shape[axis] = length
        return np.broadcast_to(flat[:, 0], length).reshape(shape)

    def _layer(self, node: OnnxNode) -> bool:
        layer, given, output = self.layers.get(node.output[0]), node.input[0], node.output[0]
        if layer is None or given not in self.ids or (layer.groups > 1 and not self.graph.depthwise(layer)):
            return False
        axis = 1 if layer.channel_axis == 1 else len(self.shapes[given]) - 1
        ids = self._along(given, axis).reshape(-1)
        if layer.groups > 1:
            made = np.repeat(ids, self.graph.channels(layer) // len(ids))
            self.cuts.append(Cut(node, 1, 0, made, "follows"))
        else:
            made = self.numbers.new(self.graph.channels(layer))
            self.cuts += [Cut(node, 1, layer.input_axis, ids, "reads"), Cut(node, 1, layer.output_axis, made, "makes")]
        shape = [1] * len(self.shapes[output])
        shape[axis] = -1
        self._store(output, made.reshape(shape))
        if layer.name in self.exclude:
            self.keep(output, "it is excluded")
        bias = self.graph.input_value(node, 2)
        if bias is not None and bias.size > 1:
            self.cuts.append(Cut(node, 2, bias.ndim - 1, made, "follows"))
        return True

    def _elementwise(self, node: OnnxNode) -> bool:
        output, rank = node.output[0], len(self.shapes[node.output[0]])
        parts: list[tuple[int, Array, tuple[int, ...]]] = []
        for i, name in enumerate(node.input):
            values = self.graph.value(name)
            if name not in self.ids and values is None:
                return False
            true = self.shapes[name] if values is None else values.shape
            ids = (
                np.zeros((1,) * rank, int)
                if values is not None
                else self.ids[name].reshape((1,) * (rank - len(true)) + self.ids[name].shape)
            )
            parts.append((i, ids, (1,) * (rank - len(true)) + tuple(true)))
        varying = [axis for axis in range(rank) if any(ids.shape[axis] > 1 for _, ids, _ in parts)]
        total: Array | None = None
        for i, ids, true in parts:
            if node.input[i] not in self.ids:
                continue
            if any(true[axis] == 1 < self.shapes[output][axis] for axis in varying):
                self.keep(node.input[i], f"all channels of {node.op_type} '{name_of(node)}' share them")
                continue
            if total is not None:
                self.numbers.join(total, ids)
            total = ids if total is None else np.broadcast_arrays(total, ids)[0]
        if total is None:
            return False
        for i, _, true in parts:
            if node.input[i] not in self.ids:
                self._follow(node, i, total, true)
        return self._store(output, total)

    def _follow(self, node: OnnxNode, index: int, ids: Array, true: tuple[int, ...]) -> None:
        """Let a constant that is added or multiplied lose what its channels lose."""
        lost = ids.ndim - len(self.graph.value(node.input[index]).shape)  # type: ignore[union-attr]  # it is a constant
        for axis in range(ids.ndim):
            if ids.shape[axis] > 1 and true[axis] > 1:
                flat = np.moveaxis(ids, axis, 0).reshape(ids.shape[axis], -1)
                self.numbers.join(flat, flat[:, :1])
                self.cuts.append(Cut(node, index, axis - lost, flat[:, 0], "follows"))

    def _normalise(self, node: OnnxNode) -> bool:
        ids = self._along(node.input[0], 1)
        for i in range(1, len(node.input)):
            if self.graph.input_value(node, i) is None:
                return False
            self.cuts.append(Cut(node, i, 0, ids.reshape(-1), "follows"))
        return self._store(node.output[0], ids)

    def _reshape(self, node: OnnxNode) -> bool:
        given, output = node.input[0], node.output[0]
        ids = np.broadcast_to(self.ids[given], self.shapes[given]).reshape(self.shapes[output])
        if node.op_type == "Reshape":
            self.reshapes.append((node, 1))
        elif node.op_type == "Flatten" and self.shapes[output][0] != 1:
            return False
        return self._store(output, ids)

    def _concat(self, node: OnnxNode) -> bool:
        axis = attribute(node, "axis", 1) % len(self.shapes[node.output[0]])
        parts = []
        for name in node.input:
            if name not in self.ids:
                return False
            shape = list(self.ids[name].shape)
            shape[axis] = self.shapes[name][axis]
            parts.append(np.broadcast_to(self.ids[name], shape))
        others = np.broadcast_shapes(
            *([size if i != axis else 1 for i, size in enumerate(part.shape)] for part in parts)
        )
        wide = [
            np.broadcast_to(part, [part.shape[axis] if i == axis else size for i, size in enumerate(others)])
            for part in parts
        ]
        return self._store(node.output[0], np.concatenate(wide, axis))

    def _reduce(self, node: OnnxNode) -> bool:
        given, output = node.input[0], node.output[0]
        rank = len(self.shapes[given])
        axes = attribute(node, "axes", None)
        if axes is None:
            axes = self.graph.input_value(node, 1) if len(node.input) > 1 else None
        over = {int(axis) % rank for axis in (range(rank) if axes is None else axes)}
        if any(self.ids[given].shape[axis] > 1 for axis in over):
            return False
        ids = self.ids[given]
        return self._store(output, ids if len(self.shapes[output]) == rank else ids.squeeze(tuple(over)))

    def _same_channels(self, node: OnnxNode) -> bool:
        """Padding and resizing along the axes that hold no channels."""
        given, output = node.input[0], node.output[0]
        ids = self.ids[given]
        if any(ids.shape[a] > 1 and self.shapes[given][a] != self.shapes[output][a] for a in range(ids.ndim)):
            return False
        if node.op_type == "Resize" and len(node.input) > 3:
            self.reshapes.append((node, 3))
        return self._store(output, ids)

    # --- in the end

    def _settle(self) -> None:
        """Keep what cannot be taken out: channels that lie across more than one axis, or whose number is written into a shape."""
        settled = False
        while not settled:
            before = len(self.numbers.kept)
            for name, ids in self.ids.items():
                if len(self.numbers.varying(ids)) > 1:
                    self.keep(name, f"'{name}' mixes them with another axis")
            for node, index in self.reshapes:
                for axis in self.numbers.varying(self.ids[node.output[0]]):
                    if not self._length_can_change(node, index, axis):
                        self.keep(
                            node.output[0], f"the shape of {node.op_type} '{name_of(node)}' is computed elsewhere"
                        )
            settled = len(self.numbers.kept) == before

    def _length_can_change(self, node: OnnxNode, index: int, axis: int) -> bool:
        if self.graph.input_value(node, index) is not None:
            return True
        maker = self.graph.producer.get(node.input[index])
        if maker is None or maker.op_type != "Concat":
            return False
        parts = [
            self.graph.value(name) for name in maker.input
        ]  # a computed part is one length: Shape, Gather, Unsqueeze
        lengths = [int(size) for part in parts for size in ([0] if part is None else part.reshape(-1))]
        return len(lengths) > axis and lengths[axis] == -1
