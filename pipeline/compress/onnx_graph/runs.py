"""Run a graph in ONNX Runtime and look at tensors inside it."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.compress.context import Context
from pipeline.compress.onnx_graph.graph import Layer, reads
from pipeline.errors import DataError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import OnnxModel

MOST_ROWS = 256
"""Rows that statistics are taken from. Their standard error is 1/16 of a channel's standard deviation, or less where a channel has
many places; data-free quantization takes its statistics from one batch of training images (arXiv 1906.04721, section 5)."""


def has_rows(context: Context) -> bool:
    return context.calibration is not None or context.training is not None


def rows_of(context: Context, name: str) -> Array:
    """Return the rows, without labels, that a pass looks at the network with: calibration rows, else training rows."""
    rows = context.calibration or context.training
    if rows is None:
        raise DataError(
            f"{name} needs rows to see what the layers answer, but there are none",
            hint="Add calibration to [data]: 100 to 500 rows of training data, without labels.",
        )
    return np.array(rows.x[:MOST_ROWS])


def part_of(model: OnnxModel, names: Sequence[str]) -> OnnxModel:
    """Return a model with only what is needed to compute these tensors, which become its outputs."""
    import onnx

    needed, nodes = set(names), []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            nodes.append(node)
            needed.update(reads(node))
    graph = onnx.GraphProto(
        name=model.graph.name,
        node=reversed(nodes),
        input=model.graph.input,
        output=[onnx.ValueInfoProto(name=name) for name in names],
        initializer=[tensor for tensor in model.graph.initializer if tensor.name in needed],
    )
    part = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    part.graph.CopyFrom(graph)
    return part


def run(model: OnnxModel, names: Sequence[str], rows: Array) -> Iterator[list[Array]]:
    """Answer each row with the values of these tensors. One row at a time: exported files may hold a batch of 1 inside."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            part_of(model, names).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        feed = session.get_inputs()[0].name
        for i in range(len(rows)):
            found: list[Array] = session.run(list(names), {feed: rows[i : i + 1]})
            yield found
    except Exception as error:
        raise StageError(
            f"ONNX Runtime cannot run the graph: {str(error).strip().splitlines()[0][:300]}",
            hint="The rows must fit the model's input. If they do, this is a fault of the pass: report it.",
        ) from error


class Moments(NamedTuple):
    """Mean and spread of each channel, over rows and places: (channels,) float64."""

    mean: Array
    deviation: Array


def moments(model: OnnxModel, layers: Sequence[Layer], rows: Array) -> list[Moments]:
    """Mean and standard deviation of what these layers answer."""
    sums = [(0.0, 0.0, 0)] * len(layers)
    for answers in run(model, [layer.output for layer in layers], rows):
        for i, (layer, values) in enumerate(zip(layers, answers, strict=True)):
            flat = np.moveaxis(values, layer.channel_axis, -1).reshape(-1, values.shape[layer.channel_axis])
            flat = flat.astype(np.float64)
            one, two, count = sums[i]
            sums[i] = one + flat.sum(0), two + np.square(flat).sum(0), count + len(flat)
    found = []
    for one, two, count in sums:
        mean = np.asarray(one) / count
        found.append(Moments(mean, np.sqrt(np.maximum(np.asarray(two) / count - mean**2, 0))))
    return found


def difference(one: OnnxModel, other: OnnxModel, rows: Array) -> float:
    """Return the largest difference of two models' outputs, relative to the largest output (at least 1)."""
    names = [value.name for value in one.graph.output]
    worst = largest = 0.0
    for left, right in zip(run(one, names, rows), run(other, names, rows), strict=True):
        for a, b in itertools.zip_longest(left, right):
            worst = max(worst, float(np.abs(a.astype(np.float64) - b).max()))
            largest = max(largest, float(np.abs(a).max()))
    return worst / max(1.0, largest)


def shapes_of_run(model: OnnxModel, rows: Array) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that is computed from the input, for one row."""
    names = [name for node in model.graph.node for name in node.output if name]
    (found,) = run(model, names, rows[:1])
    shapes = {name: values.shape for name, values in zip(names, found, strict=True) if isinstance(values, np.ndarray)}
    return shapes | {model.graph.input[0].name: rows[:1].shape}
