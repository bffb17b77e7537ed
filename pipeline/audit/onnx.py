"""The graph of an ONNX model. Needs the package onnx, whose shape inference is native code: call it in a child."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.audit.graph import Graph, Operator, Value, product
from pipeline.errors import ModelError
from pipeline.frameworks.onnx_file import onnx_structure
from pipeline.frameworks.onnx_versions import DEFAULT_DOMAINS, opset_of
from pipeline.frameworks.types import OnnxGraph, OnnxModel, OnnxNode, OnnxTensor, OnnxValue

NAMES = {"float": "float32", "double": "float64", "undefined": ""}
"""Of the types whose names in ONNX are not numpy's."""
OPERANDS = {
    "Conv": (0, 1), "FusedConv": (0, 1), "ConvInteger": (0, 1), "QLinearConv": (0, 3), "ConvTranspose": (0, 1), "DeformConv": (0, 1),
    "MatMul": (0, 1), "Gemm": (0, 1), "FusedGemm": (0, 1), "FusedMatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3),
    "QGemm": (0, 3), "MatMulNBits": (0, 1), "MatMulIntegerToFloat": (0, 1), "DynamicQuantizeMatMul": (0, 1), "LSTM": (0, 1), "GRU": (0, 1), "RNN": (0, 1),
    "DynamicQuantizeLSTM": (0, 1),
}  # fmt: skip
"""Operators that multiply by weights -> which inputs are the values and the weights: https://onnx.ai/onnx/operators/ and
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""
UNCOUNTED = frozenset(
    {
        "Einsum",
        "Attention",
        "QAttention",
        "MultiHeadAttention",
        "GroupQueryAttention",
        "PackedAttention",
        "FusedMatMulActivation",
    }
)
"""Operators that multiply, and whose count the shapes alone do not give."""
COUNTED_DOMAINS = ("com.microsoft", "ai.onnx.ml")  # what else is of these multiplies nothing by weights
DEEPEST = 50  # graphs in graphs


def graph_of(path: Path, name: str) -> Graph:
    """Read an .onnx file, called `name` in messages. ModelError if it is damaged. Weights in other files are not looked at."""
    model = _with_shapes(onnx_structure(path, name))
    if not model.graph.output:
        raise ModelError(f"{name} is not an ONNX model: it answers nothing", hint="Export or copy it again.")
    reader = _Reader(model)
    operators = tuple(reader.operators(model.graph, {}, 0))
    constants = {each.name for each in model.graph.initializer}
    return Graph(
        family="onnx",
        operators=operators,
        inputs=tuple(reader.declared(each) for each in model.graph.input if each.name not in constants),
        outputs=tuple(reader.declared(each) for each in model.graph.output),
        constants=tuple(reader.constants),
        opset=opset_of(model),
        ir=model.ir_version,
        domains=tuple(sorted({each.domain for each in operators if each.domain})),
    )


def _with_shapes(model: OnnxModel) -> OnnxModel:
    """Return the model with the types and shapes of what is between its operators, as far as they can be told."""
    import onnx.inliner

    try:
        whole = onnx.inliner.inline_local_functions(model) if model.functions else model
        return onnx.shape_inference.infer_shapes(whole, data_prop=True)
    except Exception:  # noqa: BLE001 - it refuses what it does not know, and models above 2 GB; then less is known
        return model


class _Reader:
    def __init__(self, model: OnnxModel) -> None:
        self.versions = {each.domain: each.version for each in model.opset_import}
        self.opset = opset_of(model)
        self.constants: list[Value] = []
        self.graphs = 0

    def operators(self, graph: OnnxGraph, outer: Mapping[str, Value], depth: int) -> Iterator[Operator]:
        """Yield the operators of a graph, and after each those of the graphs in it."""
        number, known = self.graphs, dict(outer)
        self.graphs += 1
        for each in (*graph.value_info, *graph.input, *graph.output):
            known[_text(each.name)] = self.declared(each, number)
        for tensor in graph.initializer:
            self._hold(known, _text(tensor.name), tensor, number)
        for node in graph.node:
            if node.op_type == "Constant" and node.output and not node.domain:
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self._hold(known, _text(node.output[0]), attribute.t, number)
                    elif _text(attribute.name).startswith("value_"):
                        name = _text(node.output[0])
                        self._keep(known, Value(f"{number}:{name}", name, "", None, constant=True))
                continue
            yield self._operator(node, known, number)
            for attribute in node.attribute if depth < DEEPEST else ():
                for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                    yield from self.operators(inner, known, depth + 1)

    def _hold(self, known: dict[str, Value], name: str, tensor: OnnxTensor, number: int) -> None:
        self._keep(known, Value(f"{number}:{name}", name, _type(tensor.data_type), tuple(tensor.dims), constant=True))

    def _keep(self, known: dict[str, Value], value: Value) -> None:
        known[value.name] = value
        self.constants.append(value)

    def declared(self, value: OnnxValue, number: int = 0) -> Value:
        tensor = value.type.tensor_type
        shape = None
        if tensor.HasField("shape"):
            shape = tuple(each.dim_value if each.HasField("dim_value") else None for each in tensor.shape.dim)
        name = _text(value.name)
        return Value(f"{number}:{name}", name, _type(tensor.elem_type), shape)

    def _operator(self, node: OnnxNode, known: dict[str, Value], number: int) -> Operator:
        def value(name: str) -> Value:
            return known.setdefault(name, Value(f"{number}:{name}", name, "", None))

        inputs = tuple(value(_text(name)) if name else None for name in node.input)
        outputs = tuple(value(_text(name)) for name in node.output if name)
        own = node.domain in DEFAULT_DOMAINS
        return Operator(
            kind=_text(node.op_type),
            version=self.opset if own else self.versions.get(node.domain, 0),
            domain="" if own else _text(node.domain),
            inputs=inputs,
            outputs=outputs,
            macs=_macs(node, inputs, outputs),
            weights=OPERANDS[node.op_type][1] if node.op_type in OPERANDS else None,
            graph=number,
        )


def _text(name: str | bytes) -> str:
    """Return a name; one that is not UTF-8 comes as bytes, and only damaged files have such."""
    return name if isinstance(name, str) else name.decode("utf-8", "replace")


def _type(number: int) -> str:
    from onnx import TensorProto

    if number not in TensorProto.DataType.values():
        return f"type {number}"
    name = TensorProto.DataType.Name(number).lower()
    return NAMES.get(name, name)


def _macs(node: OnnxNode, inputs: tuple[Value | None, ...], outputs: tuple[Value, ...]) -> int | None:
    """Multiply-accumulates from the shapes; 0 of what multiplies nothing by weights, None where a shape is not known."""
    kind = node.op_type
    if kind in UNCOUNTED or node.domain not in {*DEFAULT_DOMAINS, *COUNTED_DOMAINS}:
        return None
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        return None  # how often its graphs run is not known
    if kind not in OPERANDS:
        return 0
    given, by = (_shape(inputs, place) for place in OPERANDS[kind])
    if given is None or by is None or not outputs:
        return None
    numbers = {each.name: each.i for each in node.attribute}
    if kind in {"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"}:  # (steps, batch, width), (ways, gates * units, width)
        again = _shape(inputs, 2)
        return product(math.prod(given[:2]), math.prod(by) + math.prod(again)) if again is not None else None
    if kind == "ConvTranspose":
        return math.prod(given) * math.prod(by[1:])
    if kind == "MatMulNBits":
        return math.prod(given) * int(numbers.get("N", 0)) or None
    made = outputs[0].elements
    if made is None:
        return None
    if "Conv" in kind:
        return made * math.prod(by[1:])
    inner = given[0] if numbers.get("transA") and given else given[-1] if given else 1
    return made * inner


def _shape(inputs: tuple[Value | None, ...], place: int) -> tuple[int, ...] | None:
    """Return the shape of an input in one inference; None if it is left out or not known."""
    value = inputs[place] if place < len(inputs) else None
    return None if value is None else value.sizes
