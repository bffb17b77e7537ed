"""ONNX files in ONNX Runtime."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.errors import ModelError
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.rows import BATCH_ROWS, Array, Count, one_each
from pipeline.frameworks.types import OnnxArgument, OnnxFunction, OnnxGraph, OnnxModel, OnnxTensor
from pipeline.records import TensorSpec

ONNX_DTYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(uint8)": "uint8",
    "tensor(int8)": "int8", "tensor(int32)": "int32", "tensor(int64)": "int64", "tensor(bool)": "bool",
}  # fmt: skip


QUANTIZED = {
    "DequantizeLinear",
    "ConvInteger",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "DynamicQuantizeLinear",
}


class Onnx:
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
        one_each(len(inputs), len(outputs), name, "onnx")
        self.input, self.output = inputs[0], outputs[0]
        batch = self.input.shape[0] if self.input.shape else None
        if not self.input.shape or (isinstance(batch, int) and batch != 1):
            raise ModelError(
                f"{name} takes an input of shape {self.input.shape}; a board answers one row at a time",
                hint="Export it with a batch of 1, or with a dynamic batch axis.",
            )

    def specs(self) -> tuple[TensorSpec, TensorSpec]:
        return self._spec(self.input), self._spec(self.output)

    @staticmethod
    def _spec(value: OnnxArgument) -> TensorSpec:
        shape = tuple(size if isinstance(size, int) else None for size in value.shape[1:])
        return TensorSpec(name=value.name, shape=shape, dtype=ONNX_DTYPES.get(value.type, value.type))

    def in_other_kernels(self) -> "Onnx | None":
        """The same file without the fused integer kernels of ONNX Runtime. None where nothing is quantized."""
        import onnx

        nodes = onnx.load(self.path, load_external_data=False).graph.node
        return Onnx(self.path, self.name, plain=True) if QUANTIZED & {node.op_type for node in nodes} else None

    def answers(self, x: Array, count: Count) -> Array:
        found: list[Array] = []
        for i in range(len(x)):
            try:
                answer = self.session.run(None, {self.input.name: x[i : i + 1]})[0].astype(np.float32)
            except Exception as error:
                raise ModelError(
                    f"ONNX Runtime cannot run {self.name}: {cause_of(error)}",
                    hint="Does it answer such a row in the program that made it? Export it again from there.",
                ) from error
            if found and answer.shape != found[0].shape:
                raise ModelError(
                    f"the output '{self.output.name}' of {self.name} differs in shape from row to row: {found[0].shape} for row 0, "
                    f"{answer.shape} for row {i}",
                    hint="Cut the model before the operator that chooses answers (such as NonMaxSuppression, NonZero or Compress): "
                    "onnx.utils.extract_model(path, new_path, [input], [output]).",
                )
            found.append(answer)
            if i % BATCH_ROWS == 0:
                count(i, len(x))
        return np.concatenate(found)


def onnx_proto(path: Path, name: str) -> OnnxModel:
    """Return the model as onnx reads it, all in one file. ModelError if it is damaged, or its weights lie in a second file."""
    import onnx

    try:
        proto = onnx.load(path, load_external_data=False)
        parts: tuple[OnnxGraph | OnnxFunction, ...] = (proto.graph, *proto.functions)
        elsewhere = sorted({
            entry.value for part in parts for tensor in _tensors(part) for entry in tensor.external_data
            if tensor.data_location == onnx.TensorProto.EXTERNAL and entry.key == "location"
        })  # fmt: skip
    except Exception as error:
        raise ModelError(
            f"{name} is damaged: onnx cannot read it ({cause_of(error, path)})",
            hint="Copy it again, or export it again from the program that made it.",
        ) from error
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
