"""Shared by tflite_runtime and ai_edge_litert: the same Interpreter under two names."""

from typing import Any, Callable

from device_agent.runtimes import dequantized, fitted, only

# Ops with state. It must not leak from row to row (or into the timing of the next model); other models are not reset, since that
# would clear what delegates have prepared.
STATEFUL = {"ASSIGN_VARIABLE", "SVDF", "RNN", "LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "UNIDIRECTIONAL_SEQUENCE_LSTM",
            "BIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_LSTM"}  # fmt: skip


class Model:
    def __init__(self, interpreter_class: Any, path: str, threads: int) -> None:
        self.interpreter = interpreter_class(model_path=path, num_threads=threads)

    def allocate(self) -> None:
        self.interpreter.allocate_tensors()
        source = only(self.interpreter.get_input_details(), "input")
        target = only(self.interpreter.get_output_details(), "output")
        self.input_shape = tuple(int(size) for size in source["shape"])
        self.input_dtype = source["dtype"].__name__
        self.input_index, self.input_quantization = source["index"], source["quantization"]
        self.output_index, self.output_quantization = target["index"], target["quantization"]
        ops = {op["op_name"] for op in self.interpreter._get_ops_details()}  # noqa: SLF001 - no public way
        self.stateful = bool(ops & STATEFUL)
        # the only delegate that the wheels include and apply by themselves; if it fails they do not report it
        self.delegates = ("XNNPACK",) if "DELEGATE" in ops else ()
        self.invoke: Callable[[], None] = self.interpreter.invoke

    def fitted(self, row: Any) -> Any:
        return fitted(row, self.input_shape, self.input_dtype, *self.input_quantization)

    def feed(self, array: Any) -> None:
        if self.stateful:
            self.interpreter.reset_all_variables()
        self.interpreter.set_tensor(self.input_index, array)

    def output(self) -> Any:
        return dequantized(self.interpreter.get_tensor(self.output_index), *self.output_quantization)
