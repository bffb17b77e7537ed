"""ONNX Runtime on the CPU."""

from typing import Any

import onnxruntime

from device_agent.runtimes import dequantized, fitted, only

DTYPES = {"float": "float32", "double": "float64"}  # where ONNX and numpy have different names


def version() -> str:
    return str(onnxruntime.__version__)


class Model:
    def __init__(self, path: str, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        source = only(self.session.get_inputs(), "input")
        self.output_names = [only(self.session.get_outputs(), "output").name]
        batch, *rest = source.shape or [1]
        if batch not in (1, None) and not isinstance(batch, str):
            raise ValueError(f"the model takes {batch} rows at once; the agent measures one at a time")
        if not all(isinstance(size, int) for size in rest):
            raise ValueError(f"the model's input has the open shape {source.shape}; only the first may be open")
        self.input_name = source.name
        self.input_shape = (1, *rest)
        kind = source.type[len("tensor(") : -1]
        self.input_dtype = DTYPES.get(kind, kind)
        self.feed: Any = None
        self.answer: Any = None

    def prepare(self, row: Any) -> None:
        self.feed = {self.input_name: fitted(row, self.input_shape, self.input_dtype, 0.0, 0)}

    def invoke(self) -> None:
        self.answer = self.session.run(self.output_names, self.feed)

    def output(self) -> Any:
        return dequantized(self.answer[0], 0.0, 0)


def open_model(path: str, threads: int) -> Model:
    return Model(path, threads)
