"""ONNX files in ONNX Runtime."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ModelError
from pipeline.frameworks.rows import BATCH_ROWS, Array, Count, one_each
from pipeline.records import TensorSpec

ONNX_DTYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(uint8)": "uint8",
    "tensor(int8)": "int8", "tensor(int32)": "int32", "tensor(int64)": "int64", "tensor(bool)": "bool",
}  # fmt: skip


class Onnx:
    """An .onnx file in ONNX Runtime, one row at a time."""

    def __init__(self, path: Path, name: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(
                f"ONNX Runtime can not open {name}: {str(error).strip().splitlines()[0][:300]}",
                hint="It may be damaged, keep its weights in a second file, or need newer operators: export it again, in one file.",
            ) from error
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        one_each(len(inputs), len(outputs), name)
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
    def _spec(value: Any) -> TensorSpec:
        shape = tuple(size if isinstance(size, int) else None for size in value.shape[1:])
        return TensorSpec(name=value.name, shape=shape, dtype=ONNX_DTYPES.get(value.type, value.type))

    def answers(self, x: Array, count: Count) -> Array:
        found = []
        for i in range(len(x)):
            found.append(self.session.run(None, {self.input.name: x[i : i + 1]})[0].astype(np.float32))
            if i % BATCH_ROWS == 0:
                count(i, len(x))
        return np.concatenate(found)


def onnx_weights(model: Any) -> Iterator[tuple[str, Array]]:
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
