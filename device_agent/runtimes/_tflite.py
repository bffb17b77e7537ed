"""What tflite_runtime and ai_edge_litert share: the same Interpreter under two names."""

from typing import Any, Callable, Dict, List, Sequence

from device_agent.runtimes._model import Model, Tensor
from device_agent.wire import Launch

# Operators that keep state from one inference to the next. It must not leak from row to row (or into the next model's timing).
# Other models are not reset: that would clear what delegates have prepared.
STATEFUL = {"SVDF", "RNN", "LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "UNIDIRECTIONAL_SEQUENCE_LSTM",
            "BIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_LSTM"}  # fmt: skip
RESOURCES = {"VAR_HANDLE", "ASSIGN_VARIABLE", "READ_VARIABLE"}  # reset_all_variables leaves them as they are


class TfliteModel(Model):
    def __init__(self, interpreter_class: Any, path: str, launch: Launch) -> None:
        super().__init__(launch)
        self.open: Callable[[], Any] = lambda: interpreter_class(model_path=path, num_threads=launch.threads)
        self.interpreter = self.open()

    def allocate(self) -> None:
        inputs = self.interpreter.get_input_details()
        for each in self.launch.inputs:
            for detail in inputs:
                if each.shape and each.tensor in ("", str(detail["index"])) and tuple(detail["shape"]) != each.shape:
                    self.interpreter.resize_tensor_input(detail["index"], list(each.shape), strict=False)
        self.interpreter.allocate_tensors()
        sources, targets = (
            _tensors(self.interpreter.get_input_details()),
            _tensors(self.interpreter.get_output_details()),
        )
        self._found(sources, targets)
        operators = {op["op_name"] for op in self.interpreter._get_ops_details()}  # noqa: SLF001 - no public way
        self.stateful, self.keeps_resources = bool(operators & STATEFUL), bool(operators & RESOURCES)
        # the wheels' only delegate; they apply it by themselves and do not report if it fails
        self.delegates = ("XNNPACK",) if "DELEGATE" in operators else ()
        self.invoke = self.interpreter.invoke

    def feed(self, arrays: Sequence[Any], fresh: bool) -> None:
        if self.stateful and not self.launch.sequences:
            self.interpreter.reset_all_variables()
        super().feed(arrays, fresh)

    def reset(self) -> None:
        if self.keeps_resources:
            self.interpreter = self.invoke = (
                None  # the old one's memory is free before the new one takes its own: peaks are measured
            )
            self.interpreter = self.open()
            self.allocate()
        elif self.stateful:
            self.interpreter.reset_all_variables()

    def in_order_of_file(self, arrays: Sequence[Any]) -> List[Any]:
        """Return what `fitted` made, for the library's other interfaces, which know inputs by their position alone."""
        by_name = {tensor.name: array for tensor, array in zip(self.inputs, arrays)}  # noqa: B905 - Python 3.8
        names = [str(each["index"]) for each in self.interpreter.get_input_details()]
        return [by_name[name] for name in names if name in by_name]

    def _set(self, tensor: Tensor, array: Any) -> None:
        self.interpreter.set_tensor(int(tensor.name), array)

    def _get(self, name: str) -> Any:
        return self.interpreter.get_tensor(int(name))


def _tensors(details: Sequence[Dict[str, Any]]) -> Dict[str, Tensor]:
    found = {}
    for each in details:
        dtype = each["dtype"].__name__
        if dtype in ("bytes_", "str_", "object_", "bytes", "str"):
            raise ValueError("the tensor %s holds text; the agent feeds and reads numbers" % each["name"])
        shape = tuple(int(size) for size in each["shape"])
        found[str(each["index"])] = Tensor(str(each["index"]), shape, dtype.rstrip("_"), *each["quantization"])
    return found
