"""Run a graph in ONNX Runtime and look at tensors inside it."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline import units
from pipeline.compress.context import Context
from pipeline.compress.onnx_graph.graph import Layer, inputs_of, outputs_of, reads
from pipeline.compress.rows import by_name
from pipeline.errors import DataError, EdgepressError, StageError
from pipeline.frameworks import Array, Feeds
from pipeline.frameworks.feeds import closed
from pipeline.frameworks.runner import State
from pipeline.frameworks.types import OnnxModel
from pipeline.records import TensorSpec

MOST_ROWS = 256
"""Rows that statistics are taken from. Their standard error is 1/16 of a channel's standard deviation, or less where a channel has
many places; data-free quantization takes its statistics from one batch of training images (arXiv 1906.04721, section 5)."""


def has_rows(context: Context) -> bool:
    return context.calibration is not None or context.training is not None


class Looked(NamedTuple):
    """The rows that a pass looks at a network with."""

    feeds: Feeds
    state: State = ()  # (input, output) of what the network passes from one step to the next
    shapes: Mapping[str, tuple[int, ...]] = {}  # of whole inputs, where the file leaves them open

    @property
    def rows(self) -> int:
        return self.feeds.rows

    def take(self, chosen: Array | slice) -> "Looked":
        """Some of the rows."""
        columns = {name: x[chosen] for name, x in self.feeds.columns.items()}
        return Looked(
            Feeds(list(self.feeds.inputs.values()), columns, sequences=self.feeds.sequences), self.state, self.shapes
        )


def rows_of(model: OnnxModel, context: Context, name: str) -> Looked:
    """Return the rows, without labels, that a pass looks at the network with: calibration rows, else training rows."""
    rows = context.calibration or context.training
    if rows is None:
        raise DataError(
            f"{name} needs rows to see what the layers answer, but there are none",
            hint="Add calibration to [data]: 100 to 500 rows of training data, without labels.",
        )
    kept = {each for each, _ in context.state}
    inputs = [each for each in inputs_of(model) if each.name not in kept]
    key = "data.calibration" if context.calibration else "data.training"
    columns = by_name(rows, [each.name for each in inputs], key)
    some = {each: np.array(x[:MOST_ROWS]) for each, x in columns.items()}
    return Looked(Feeds(inputs, some, sequences=context.sequences), context.state, context.shapes)


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


def run(model: OnnxModel, names: Sequence[str], rows: Looked) -> Iterator[list[Array]]:
    """Answer each row, or each step of it, with the values of these tensors. One at a time: exported files may hold a batch of 1 inside."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    asked = list(dict.fromkeys([*names, *(output for _, output in rows.state)]))
    try:
        session = onnxruntime.InferenceSession(
            part_of(model, asked).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        specs = {each.name: each for each in inputs_of(model)}
        for i in range(rows.rows):
            kept = {name: _zeros(specs[name], rows.shapes) for name, _ in rows.state}
            for feed in rows.feeds.steps(i):
                given = {name: _of_type(x, specs[name]) for name, x in (feed | kept).items()}
                found = dict(zip(asked, session.run(asked, given), strict=True))
                kept = {name: found[output] for name, output in rows.state}
                yield [found[name] for name in names]
    except EdgepressError:
        raise
    except Exception as error:
        raise StageError(
            f"ONNX Runtime cannot run the graph: {str(error).strip().splitlines()[0][:300]}",
            hint="The rows must fit the model's input. If they do, this is a fault of the pass: report it.",
        ) from error


def _of_type(x: Array, spec: TensorSpec) -> Array:
    return x.astype(spec.dtype, copy=False) if x.dtype.kind == "f" else x


def _zeros(spec: TensorSpec, shapes: Mapping[str, tuple[int, ...]]) -> Array:
    shape = shapes.get(spec.name, closed(spec.shape))
    if shape is None:
        raise StageError(
            f"the state '{spec.name}' has the open shape {units.shape(spec.shape)}, so no pass can look at the network with rows",
            hint=f'Write it into [model]: shape = {{ "{spec.name}" = [...] }}; or export the model with that axis fixed.',
        )
    return np.zeros(shape, spec.dtype)


class Moments(NamedTuple):
    """Mean and spread of each channel, over rows and places: (channels,) float64."""

    mean: Array
    deviation: Array


def moments(model: OnnxModel, layers: Sequence[Layer], rows: Looked) -> list[Moments]:
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


def compared_outputs(model: OnnxModel) -> list[str]:
    """Return the names of the outputs that tell how far two models are apart: those of floating point, where there are any."""
    outputs = outputs_of(model)
    floats = [each.name for each in outputs if each.dtype.startswith("float")]  # rounding may turn an argmax over
    return floats or [each.name for each in outputs]


def difference(one: OnnxModel, other: OnnxModel, rows: Looked) -> float:
    """Return the largest difference of two models' outputs, relative to the largest output (at least 1)."""
    names = compared_outputs(one)
    worst = largest = 0.0
    for left, right in zip(run(one, names, rows), run(other, names, rows), strict=True):
        for a, b in itertools.zip_longest(left, right):
            worst = max(worst, float(np.abs(a.astype(np.float64) - b).max()))
            largest = max(largest, float(np.abs(a).max()))
    return worst / max(1.0, largest)


def shapes_of_run(model: OnnxModel, rows: Looked) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that is computed from the inputs, for one row (or its first step)."""
    names = [name for node in model.graph.node for name in node.output if name]
    found = next(run(model, names, rows.take(slice(1))))
    shapes = {name: values.shape for name, values in zip(names, found, strict=True) if isinstance(values, np.ndarray)}
    specs = {each.name: each for each in inputs_of(model)}
    given = {name: x.shape for name, x in next(rows.feeds.steps(0)).items()}
    return shapes | given | {name: _zeros(specs[name], rows.shapes).shape for name, _ in rows.state}
