"""Shared by the runtimes on ONNX Runtime: one library, one file for each execution provider."""

import json
import os
from typing import Any, Dict, List, Sequence, Tuple

import onnxruntime

from device_agent.runtimes._model import Model, Tensor
from device_agent.runtimes._profile import WARM_RUNS, Limits, averaged, repeat, shapes_text
from device_agent.wire import Launch, Operator

CPU = "CPUExecutionProvider"
DTYPES = {"float": "float32", "double": "float64"}  # if ONNX and numpy have different names


class OtherProvider(Exception):
    """The requested provider would not run the model. There is no fallback: a CPU time must not pass for a GPU time."""


def version() -> str:
    return str(onnxruntime.__version__)


class OnnxModel(Model):
    def __init__(self, path: str, launch: Launch, provider: str = CPU, profile: str = "") -> None:
        """OtherProvider if any part of the model would run in another execution provider. `profile`: prefix of the file for the
        kernels' times; "": none.
        """
        super().__init__(launch)
        options = onnxruntime.SessionOptions()
        options.enable_profiling = bool(profile)
        options.profile_file_prefix = profile
        options.intra_op_num_threads = launch.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        self.session = _session(path, options, provider)
        shapes = {each.tensor: each.shape for each in launch.inputs}
        sources, targets = self.session.get_inputs(), self.session.get_outputs()
        if len(sources) == 1:
            shapes.setdefault(sources[0].name, shapes.get("", ()))
        self._found(
            {each.name: Tensor(each.name, _shape(each, shapes.get(each.name, ())), _dtype(each)) for each in sources},
            {each.name: Tensor(each.name, (), _dtype(each)) for each in targets},
        )
        self.delegates = tuple(self.session.get_providers())
        self.names = list(
            dict.fromkeys(each.name for each in (*self.output_tensors, *(target for _, target in self.state)))
        )
        self.fed: Dict[str, Any] = {}
        self.answers: List[Any] = []

    def invoke(self) -> None:
        self.answers = self.session.run(self.names, self.fed)

    def _set(self, tensor: Tensor, array: Any) -> None:
        self.fed[tensor.name] = array

    def _get(self, name: str) -> Any:
        return self.answers[self.names.index(name)]


def _shape(value: Any, given: Tuple[int, ...]) -> Tuple[int, ...]:
    """Return the shape of an input for one inference. A first axis that is open is the batch: 1."""
    if given:
        return given
    first, rest = tuple(value.shape[:1]), tuple(value.shape[1:])
    shape = ((1,) if first and not isinstance(first[0], int) else first) + rest
    if not all(isinstance(size, int) for size in shape):
        raise ValueError("the input %s has the open shape %s; the host must give its sizes" % (value.name, value.shape))
    return shape


def _dtype(value: Any) -> str:
    whole = str(value.type)
    kind = whole[len("tensor(") : -1]
    if kind == "string" or not whole.startswith("tensor("):
        raise ValueError("%s is of the type %s; the agent feeds and reads tensors of numbers" % (value.name, whole))
    return DTYPES.get(kind, kind)


def _session(path: str, options: Any, provider: str) -> Any:
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise OtherProvider(f"this onnxruntime has no {provider}, only {', '.join(available)}")
    if provider != CPU:
        # ONNX Runtime runs on the CPU what a provider cannot, which get_providers() does not show
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    # if allowed, it would only print that the provider failed, and use another one
    session = onnxruntime.InferenceSession(path, options, providers=[provider], enable_fallback=0)
    session.disable_fallback()  # the same at run time, for versions without enable_fallback
    used = session.get_providers()
    if used[0] != provider:
        raise OtherProvider(f"{provider} did not start, the model would run in {', '.join(used)}")
    return session


def profile(path: str, launch: Launch, rows: Sequence[Any], folder: str, limits: Limits) -> Tuple[List[Operator], str]:
    """Use the library's own profile: a JSON array of events, one a line. It may be long, so it is never read as a whole."""
    model = OnnxModel(path, launch, profile=os.path.join(folder, "profile"))
    model.feed(model.fitted(rows), fresh=True)
    for _ in range(WARM_RUNS):
        model.invoke()
    repeat(model.invoke, limits)
    name = model.session.end_profiling()
    times: Dict[Tuple[str, str, str], List[int]] = {}
    with open(name, encoding="utf-8") as file:
        for line in file:
            if '"Node"' in line and '_kernel_time"' in line:
                event = json.loads(line.rstrip().rstrip(","))
                arguments = event["args"]
                shapes = (
                    [shape for typed in arguments[way] for shape in typed.values()]
                    for way in ("input_type_shape", "output_type_shape")
                )
                key = event["name"][: -len("_kernel_time")], arguments["op_name"], shapes_text(*shapes)
                times.setdefault(key, []).append(1000 * event["dur"])
    os.unlink(name)
    found = [averaged(*key, each[WARM_RUNS:]) for key, each in times.items() if len(each) > WARM_RUNS]
    return (
        found,
        "by ONNX Runtime's own profile, in whole microseconds, including one or two of its own overhead for each",
    )
