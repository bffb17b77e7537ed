"""What the runtimes on ONNX Runtime share: one library, one file for each execution provider."""

import json
import os
from typing import Any, Dict, List, Tuple

import onnxruntime

from device_agent.runtimes import dequantized, fitted, only
from device_agent.runtimes._profile import WARM_RUNS, Limits, averaged, repeat, shapes_text
from device_agent.wire import Operator

CPU = "CPUExecutionProvider"
DTYPES = {"float": "float32", "double": "float64"}  # where ONNX and numpy have different names


class OtherProvider(Exception):
    """What would run is not what was asked for. Nothing falls back: a number of the CPU must not pass for one of the GPU."""


def version() -> str:
    return str(onnxruntime.__version__)


class Model:
    allocate = None  # the session is ready when it is made

    def __init__(self, path: str, threads: int, provider: str = CPU, profile: str = "") -> None:
        """OtherProvider if any part of the model would run in another execution provider. `profile`: how the file of the kernels'
        times begins; "": none is written.
        """
        options = onnxruntime.SessionOptions()
        options.enable_profiling = bool(profile)
        options.profile_file_prefix = profile
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        self.session = _session(path, options, provider)
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
        self.delegates = tuple(self.session.get_providers())
        self.inputs: Any = None
        self.answer: Any = None

    def fitted(self, row: Any) -> Any:
        return {self.input_name: fitted(row, self.input_shape, self.input_dtype, 0.0, 0)}

    def feed(self, inputs: Any) -> None:
        self.inputs = inputs

    def invoke(self) -> None:
        self.answer = self.session.run(self.output_names, self.inputs)

    def output(self) -> Any:
        return dequantized(self.answer[0], 0.0, 0)


def _session(path: str, options: Any, provider: str) -> Any:
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise OtherProvider(f"this onnxruntime has no {provider}, only {', '.join(available)}")
    if provider != CPU:
        # ONNX Runtime gives what a provider can not run to the CPU, which get_providers() does not show
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    # where it may, it prints that the provider failed, and goes on with another one
    session = onnxruntime.InferenceSession(path, options, providers=[provider], enable_fallback=0)
    session.disable_fallback()  # the same while it runs, for versions that do not know enable_fallback
    used = session.get_providers()
    if used[0] != provider:
        raise OtherProvider(f"{provider} did not start, the model would run in {', '.join(used)}")
    return session


def profile(path: str, threads: int, row: Any, folder: str, limits: Limits) -> Tuple[List[Operator], str]:
    """By the library's own profile: a JSON array of events, one a line, which may be long: it is never read as a whole."""
    model = Model(path, threads, profile=os.path.join(folder, "profile"))
    model.feed(model.fitted(row))
    for _ in range(WARM_RUNS):
        model.invoke()
    repeat(model.invoke, limits)
    name = model.session.end_profiling()
    times: Dict[Tuple[str, str, str], List[int]] = {}
    with open(name, encoding="utf-8") as file:
        for line in file:
            if '"Node"' in line and '_kernel_time"' in line:
                event = json.loads(line.rstrip().rstrip(","))
                told = event["args"]
                shapes = (
                    [shape for typed in told[way] for shape in typed.values()]
                    for way in ("input_type_shape", "output_type_shape")
                )
                key = event["name"][: -len("_kernel_time")], told["op_name"], shapes_text(*shapes)
                times.setdefault(key, []).append(1000 * event["dur"])
    os.unlink(name)
    found = [averaged(*key, each[WARM_RUNS:]) for key, each in times.items() if len(each) > WARM_RUNS]
    return found, "by ONNX Runtime's own profile, in whole microseconds, of which it takes one or two itself for each"
