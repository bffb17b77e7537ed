"""The graph of a .tflite file. Needs no runtime: pipeline/frameworks/tflite_schema.py reads the file."""

import math

from pipeline.audit.graph import Graph, Operator, Value, product
from pipeline.frameworks import tflite_schema
from pipeline.frameworks.tflite_schema import Subgraph, Tensor

WEIGHTS = {
    "CONV_2D": 1, "CONV_3D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1, "CONV_3D_TRANSPOSE": 1,
    "BATCH_MATMUL": 1, "UNIDIRECTIONAL_SEQUENCE_LSTM": 2, "BIDIRECTIONAL_SEQUENCE_LSTM": 2, "LSTM": 2,
    "UNIDIRECTIONAL_SEQUENCE_RNN": 1, "BIDIRECTIONAL_SEQUENCE_RNN": 1, "RNN": 1, "SVDF": 1,
}  # fmt: skip
"""Operators that multiply by weights -> which input these are. Order of the inputs: tensorflow/lite/kernels, as in LiteRT 2.3."""

CONTROL = frozenset({"IF", "WHILE", "CALL", "STABLEHLO_WHILE", "STABLEHLO_CASE", "STABLEHLO_COMPOSITE"})
"""Operators that run another graph of the file, perhaps many times."""


def graph_of(data: bytes | memoryview, name: str) -> Graph:
    """Read a .tflite file, called `name` in messages. ModelError if it is damaged."""
    file = tflite_schema.read(data, name)
    values = [
        tuple(_value(each, number, index) for index, each in enumerate(graph.tensors))
        for number, graph in enumerate(file.subgraphs)
    ]
    is_open = any(values[0][index].sizes is None for index in file.subgraphs[0].inputs)
    operators = [
        operator._replace(macs=None) if is_open and operator.macs else operator  # the shapes are those of length 1
        for number, graph in enumerate(file.subgraphs)
        for operator in _operators(graph, values[number], number)
    ]
    main = file.subgraphs[0]
    return Graph(
        family="tflite",
        operators=tuple(operators),
        inputs=tuple(values[0][index] for index in main.inputs),
        outputs=tuple(values[0][index] for index in main.outputs),
        constants=tuple(each for graph in values for each in graph if each.constant),
        domains=file.custom_operators,
        claims=file.lowest_runtime,
    )


def _value(tensor: Tensor, graph: int, index: int) -> Value:
    found = tensor.quantization
    single = found is not None and len(found.scales) == 1
    return Value(
        key=f"{graph}:{index}",
        name=tensor.name,
        dtype=tensor.dtype,
        shape=tensor.open_shape,
        constant=tensor.constant_bytes > 0,
        scale=found.scales[0] if found and single else None,
        zero_point=found.zero_points[0] if found and single and found.zero_points else None,
        scales=len(found.scales) if found else 0,
        blockwise=tensor.is_blockwise,
    )


def _operators(graph: Subgraph, values: tuple[Value, ...], number: int) -> list[Operator]:
    found = []
    for each in graph.operators:
        inputs = tuple(None if index < 0 else values[index] for index in each.inputs)
        outputs = tuple(values[index] for index in each.outputs if index >= 0)
        found.append(
            Operator(
                kind=each.name,
                version=each.version,
                domain="custom" if each.is_custom else "",
                inputs=inputs,
                outputs=outputs,
                macs=None if each.is_custom else _macs(each.name, inputs, outputs),
                weights=WEIGHTS.get(each.name),
                graph=number,
            )
        )
    return found


def _macs(kind: str, inputs: tuple[Value | None, ...], outputs: tuple[Value, ...]) -> int | None:
    """Multiply-accumulates from the shapes; 0 of what multiplies nothing by weights, None where a shape is not known."""
    if kind in CONTROL:
        return None
    weights = WEIGHTS.get(kind)
    if weights is None:
        return 0
    by = _shape(inputs, weights)
    if not by or not outputs:
        return None
    made = outputs[0].elements
    if kind in {"CONV_2D", "FULLY_CONNECTED"}:
        return product(made, math.prod(by[1:]))
    if kind in {"DEPTHWISE_CONV_2D", "CONV_3D"}:  # weights (1, height, width, out) and (depth, height, width, in, out)
        return product(made, math.prod(by[:-1]))
    if kind == "TRANSPOSE_CONV":  # (out, height, width, in), and the inputs are output shape, weights, values
        return product(_elements(inputs, 2), math.prod(by[:3]))
    if kind == "CONV_3D_TRANSPOSE":  # (depth, height, width, out, in)
        return product(_elements(inputs, 2), math.prod(by[:4]))
    if kind == "BATCH_MATMUL":
        given = _shape(inputs, 0)
        return product(made, given[-1]) if given else None
    if kind == "SVDF":  # once for each step; then over the time that it keeps
        return product(_elements(inputs, 0), by[0])
    return _of_recurrent(kind, inputs, by)


def _of_recurrent(kind: str, inputs: tuple[Value | None, ...], by: tuple[int, ...]) -> int | None:
    """Each step multiplies by the weights of its input and by those of its state, in an LSTM for four gates."""
    given = _shape(inputs, 0)
    if not given or len(by) != 2:
        return None
    gates, ways = 4 if "LSTM" in kind else 1, 2 if kind.startswith("BIDIRECTIONAL") else 1
    steps = math.prod(given[:-1])
    return steps * ways * gates * by[0] * (by[1] + by[0])


def _shape(inputs: tuple[Value | None, ...], place: int) -> tuple[int, ...]:
    """Return the shape of an input in one inference; () if it is left out, or not known."""
    value = inputs[place] if place < len(inputs) else None
    return () if value is None or value.sizes is None else value.sizes


def _elements(inputs: tuple[Value | None, ...], place: int) -> int | None:
    value = inputs[place] if place < len(inputs) else None
    return None if value is None else value.elements
