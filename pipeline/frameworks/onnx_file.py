"""ONNX files in ONNX Runtime."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import CannotRunError, DataError, ModelError
from pipeline.frameworks import onnx_signature
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.feeds import Feed
from pipeline.frameworks.rows import Array
from pipeline.frameworks.runner import Runner
from pipeline.frameworks.types import OnnxArgument, OnnxFunction, OnnxGraph, OnnxModel, OnnxTensor
from pipeline.records import TensorSpec
from pipeline.safe_text import shortened

ONNX_DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64"}
"""Of the types whose names in ONNX are not numpy's."""
QUANTIZED = {
    "DequantizeLinear",
    "ConvInteger",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "DynamicQuantizeLinear",
}


class Onnx(Runner):
    """An .onnx file in ONNX Runtime, one row at a time."""

    def __init__(self, path: Path, name: str, *, plain: bool = False) -> None:
        """`plain`: node by node as the file says, which rounds as quantized kernels do and computes in floating point."""
        import onnxruntime

        self.path, self.name = path, name
        options = onnxruntime.SessionOptions()
        if plain:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        except Exception as error:
            raise ModelError(
                f"ONNX Runtime cannot open {name}: {cause_of(error, path)}",
                hint="It may be damaged, or need newer operators than this ONNX Runtime has: export it again.",
            ) from error
        self.inputs, self.outputs = self._specs(inputs, outputs)
        self._names = [each.name for each in self.outputs]

    def _specs(
        self, inputs: Sequence[OnnxArgument], outputs: Sequence[OnnxArgument]
    ) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """The runtime's names, with the shapes of the file where the runtime does not tell a scalar from a tensor of unknown rank."""
        import onnx

        model = onnx.load(self.path, load_external_data=False)
        whole = onnx_signature.signature(model)
        for what, values in (("input", whole.inputs), ("output", whole.outputs)):
            refused = [value for value in values if onnx_signature.refusal(value, what) is not None]
            if refused:
                hint = onnx_signature.cut_hint(refused, whole, onnx_signature.zip_maps(model))
                raise ModelError(f"{self.name}: {onnx_signature.refusal(refused[0], what)}", hint=hint)
        known = {each.name: each.shape for each in (*whole.inputs, *whole.outputs)}
        first, second = (tuple(_spec(each, known.get(each.name)) for each in ends) for ends in (inputs, outputs))
        return first, second

    def run(self, feed: Feed) -> list[Array]:
        specs = {each.name: each for each in self.inputs}
        try:
            given = {name: _as_input(x, specs[name]) for name, x in feed.items()}
            return [real(each) for each in self.session.run(self._names, given)]
        except DataError:
            raise
        except Exception as error:
            raise CannotRunError(
                f"ONNX Runtime cannot run {self.name}: {cause_of(error)}",
                hint="Does it answer such a row in the program that made it? Export it again from there.",
            ) from error

    def reset(self) -> None:
        """ONNX Runtime keeps nothing from one call to the next."""

    def in_other_kernels(self) -> "Onnx | None":
        """The same file without the fused integer kernels of ONNX Runtime. None where nothing is quantized."""
        import onnx

        nodes = onnx.load(self.path, load_external_data=False).graph.node
        return Onnx(self.path, self.name, plain=True) if QUANTIZED & {node.op_type for node in nodes} else None


def _spec(value: OnnxArgument, shape: tuple[int | str | None, ...] | None) -> TensorSpec:
    axes = list(value.shape) if value.shape else shape
    return TensorSpec(
        name=value.name,
        shape=None if axes is None else tuple(size if isinstance(size, int) and size >= 0 else None for size in axes),
        dtype=ONNX_DTYPES.get(value.type) or value.type.removeprefix("tensor(").removesuffix(")"),
        tensor=value.name,
        axes=_axis_names(axes or ()),
    )


def _axis_names(shape: Sequence[int | str | None]) -> tuple[str, ...]:
    names = tuple(
        each if isinstance(each, str) and not onnx_signature.UNNAMED.fullmatch(each) else "" for each in shape
    )
    return names if any(names) else ()


def _as_input(x: Array, spec: TensorSpec) -> Array:
    if x.dtype.name == spec.dtype:
        return x
    if x.dtype.kind != "f" or np.dtype(spec.dtype).kind != "f":
        raise DataError(
            f"the input '{shortened(spec.name, 100)}' takes {spec.dtype}, and the rows are {x.dtype}",
            hint=f"Give them as {spec.dtype}.",
        )
    return x.astype(spec.dtype)


def real(answer: object) -> Array:
    """Floating point as float32, other numbers as they are: as the agent does."""
    if not isinstance(answer, np.ndarray):  # an empty optional value, a sequence
        raise TypeError(f"an output has {type(answer).__name__} for an answer, and not a tensor")
    return answer.astype(np.float32) if answer.dtype.kind == "f" else answer


def onnx_structure(path: Path, name: str) -> OnnxModel:
    """Return the model as onnx reads it, without weights that lie in other files. ModelError if it is damaged."""
    import onnx

    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:
        raise ModelError(
            f"{name} is damaged: onnx cannot read it ({cause_of(error, path)})",
            hint="Copy it again, or export it again from the program that made it.",
        ) from error


def onnx_proto(path: Path, name: str) -> OnnxModel:
    """Return the model as onnx reads it, all in one file. ModelError if it is damaged, or its weights lie in a second file."""
    import onnx

    proto = onnx_structure(path, name)
    parts: tuple[OnnxGraph | OnnxFunction, ...] = (proto.graph, *proto.functions)
    elsewhere = sorted({
        entry.value for part in parts for tensor in _tensors(part) for entry in tensor.external_data
        if tensor.data_location == onnx.TensorProto.EXTERNAL and entry.key == "location"
    })  # fmt: skip
    if elsewhere:
        raise ModelError(
            f"{name} keeps its weights in a second file, {elsewhere[0][:100]}, and edgepress takes a model in one file",
            hint=f"Put both into one: onnx.save(onnx.load('{name}'), 'one_file.onnx').",
        )
    return proto


def _tensors(graph: OnnxGraph | OnnxFunction) -> Iterator[OnnxTensor]:
    """Yield the nodes of a graph, or of a function, which has only nodes."""
    yield from getattr(graph, "initializer", ())
    for sparse in getattr(graph, "sparse_initializer", ()):
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def onnx_weights(model: OnnxModel) -> Iterator[tuple[str, Array]]:
    """Name and values of every floating point constant of an onnx.ModelProto, initializer or Constant node."""
    from onnx import numpy_helper

    tensors = [(tensor.name, tensor) for tensor in model.graph.initializer]
    tensors += [
        (node.output[0], each.t) for node in model.graph.node for each in node.attribute
        if node.op_type == "Constant" and each.name == "value"
    ]  # fmt: skip
    for name, tensor in tensors:
        values = numpy_helper.to_array(tensor)
        if np.issubdtype(values.dtype, np.floating):
            yield name, values
