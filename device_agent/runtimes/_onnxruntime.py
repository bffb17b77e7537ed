"""Shared by the runtimes on ONNX Runtime: one library, one file for each execution provider."""

import json
import os
from typing import Any, Dict, List, Tuple

import onnxruntime

from device_agent.runtimes import dequantized, fitted, only
from device_agent.runtimes._profile import WARM_RUNS, Limits, averaged, repeat, shapes_text
from device_agent.wire import Operator

CPU = "CPUExecutionProvider"
DTYPES = {"float": "float32", "double": "float64"}  # if ONNX and numpy have different names


class OtherProvider(Exception):
    """The requested provider would not run the model. There is no fallback: a CPU time must not pass for a GPU time."""


def version() -> str:
    return str(onnxruntime.__version__)


class Model:
    allocate = None  # the session is ready when it is created

    def __init__(self, path: str, threads: int, provider: str = CPU, profile: str = "") -> None:
        """OtherProvider if any part of the model would run in another execution provider. `profile`: the prefix of the profile
        file; "": none is written.
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
            raise ValueError(
                f"the model's input has the open shape {source.shape}; only its first dimension may be open"
            )
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
        # ONNX Runtime runs on the CPU what a provider cannot, which get_providers() does not show
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    # if allowed, it would only print that the provider failed, and use another one
    session = onnxruntime.InferenceSession(path, options, providers=[provider], enable_fallback=0)
    session.disable_fallback()  # the same at run time, for versions without enable_fallback
    used = session.get_providers()
    if used[0] != provider:
        raise OtherProvider(f"{provider} did not start, the model would run in {', '.join(used)}")
    return session


def profile(path: str, threads: int, row: Any, folder: str, limits: Limits) -> Tuple[List[Operator], str]:
    """Use the library's own profile: a JSON array of events, one a line. It may be long, so it is never read as a whole."""
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
