"""Times of LiteRT's kernels, from the C library in its wheel: its Python interface has no profiler.

These C functions are not a stable interface, so only tested versions are used; a crash ends this process and nothing else. LiteRT's
CompiledModel makes other calls than the Interpreter, around the same XNNPACK kernels.
"""

import ctypes
import os
from ctypes import c_char_p, c_int, c_size_t, c_uint8, c_uint64, c_void_p
from typing import Any, Dict, List, Optional, Sequence, Tuple

from device_agent.runtimes._profile import WARM_RUNS, Limits, averaged, repeat, shapes_text
from device_agent.runtimes._tflite import TfliteModel
from device_agent.wire import Operator

TRIED = ("2.3.0",)
CPU = 1  # kLiteRtHwAcceleratorCpu
WRITE = 1  # kLiteRtTensorBufferLockModeWrite
OPERATOR, DELEGATED = 2, 8  # tflite::Profiler::EventType OPERATOR_INVOKE_EVENT, DELEGATE_PROFILED_OPERATOR_INVOKE_EVENT
RANKED_TYPE_BYTES = 512  # more than a LiteRtRankedTensorType has
MAX_RANK = 8

# XNNPACK's names of kernels -> the operators of the file that become such a kernel
KERNELS = (
    ("Convolution", "DWConv", ("DEPTHWISE_CONV_2D",)),
    ("Convolution", "", ("CONV_2D", "FULLY_CONNECTED")),
    ("Fully Connected", "", ("CONV_2D", "FULLY_CONNECTED")),
    ("Mean", "", ("MEAN",)),
    ("Add", "", ("ADD",)),
    ("Multiply", "", ("MUL",)),
    ("Sigmoid", "", ("LOGISTIC",)),
    ("Softmax", "", ("SOFTMAX",)),
    ("Max Pooling", "", ("MAX_POOL_2D",)),
    ("Average Pooling", "", ("AVERAGE_POOL_2D",)),
)


class Event(ctypes.Structure):
    _fields_ = [("tag", c_char_p), ("kind", c_int), ("start_us", c_uint64), ("took_us", c_uint64), ("memory", c_size_t * 6),
                ("index", c_uint64), ("more", c_uint64), ("source", c_int)]  # fmt: skip


def profile(
    package: str, version: str, model: TfliteModel, path: str, rows: Sequence[Any], limits: Limits
) -> Tuple[List[Operator], str]:
    """Profile with LiteRT. `package`: its folder; `model`: the same file, allocated; it knows the shapes."""
    if version not in TRIED:
        return [], f"no profile from LiteRT {version}: its C library was only tested in {', '.join(TRIED)}"
    library = _Library(package)
    compiled = library.compiled(path, model.launch.threads)
    compiled.fill([array.tobytes() for array in model.in_order_of_file(model.fitted(rows))])
    for _ in range(WARM_RUNS):
        compiled.invoke()
    profiler = c_void_p()
    library.call("LiteRtCompiledModelGetProfiler", compiled.model, ctypes.byref(profiler))
    library.call("LiteRtStartProfiler", profiler)
    repeat(compiled.invoke, limits)
    number = c_int()
    library.call("LiteRtGetNumProfilerEvents", profiler, ctypes.byref(number))
    events = (Event * number.value)()
    library.call("LiteRtGetProfilerEvents", profiler, number, events)
    times: Dict[Tuple[int, int, str], List[int]] = {}
    for event in events:
        tag = event.tag.decode(errors="replace")
        # those that begin so contain the others
        if event.kind in (OPERATOR, DELEGATED) and not tag.startswith(("DELEGATE", "TfLite")):
            times.setdefault((event.kind, event.index, tag), []).append(1000 * event.took_us)
    keys = list(times)
    shapes = _shapes(keys, model.interpreter)
    found = [averaged(str(key[1]), key[2], shapes[key], times[key]) for key in keys]
    note = "by LiteRT's C library (CompiledModel), in whole microseconds; shapes by the order of the file's operators"
    return found, note


def _shapes(keys: Sequence[Tuple[int, int, str]], interpreter: Any) -> Dict[Tuple[int, int, str], str]:
    """Return the shapes of each kernel. XNNPACK does not name operators of the file, but keeps their order: the third convolution is
    the file's third. If it has more or fewer of a kind than the file, the shapes stay empty.
    """
    tensors = {tensor["index"]: [int(size) for size in tensor["shape"]] for tensor in interpreter.get_tensor_details()}
    nodes = [node for node in interpreter._get_ops_details() if node["op_name"] != "DELEGATE"]  # noqa: SLF001 - no public way

    def text(node: Any) -> str:
        return shapes_text(
            *([tensors[index] for index in node[way] if index in tensors] for way in ("inputs", "outputs"))
        )

    found = dict.fromkeys(keys, "")
    by_index = {node["index"]: node for node in nodes}
    plain = [key for key in keys if key[0] == OPERATOR and by_index.get(key[1], {}).get("op_name") == key[2]]
    found.update((key, text(by_index[key[1]])) for key in plain)
    taken = {key[1] for key in plain}
    for names in dict.fromkeys(names for *_, names in KERNELS):
        mine = [key for key in keys if key[0] == DELEGATED and _operators_of(key[2]) == names]
        theirs = [node for node in nodes if node["op_name"] in names and node["index"] not in taken]
        if len(mine) == len(theirs):
            found.update((key, text(node)) for key, node in zip(mine, theirs))  # noqa: B905 - Python 3.8
    return found


def _operators_of(kernel: str) -> Optional[Tuple[str, ...]]:
    return next((names for first, last, names in KERNELS if kernel.startswith(first) and kernel.endswith(last)), None)


class _Library:
    def __init__(self, package: str) -> None:
        self.c = ctypes.CDLL(os.path.join(package, "libLiteRt.so"), mode=ctypes.RTLD_GLOBAL)

    def call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.c, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} answered {status}")

    def compiled(self, path: str, threads: int) -> "_Compiled":
        return _Compiled(self, path, threads)


class _Compiled:
    """A compiled model with buffers for its inputs and outputs."""

    def __init__(self, library: _Library, path: str, threads: int) -> None:
        self.library = library
        call, by = library.call, ctypes.byref
        self.environment, self.file, self.options, self.model = c_void_p(), c_void_p(), c_void_p(), c_void_p()
        call("LiteRtCreateEnvironment", 0, None, by(self.environment))
        call("LiteRtCreateModelFromFile", self.environment, path.encode(), by(self.file))
        call("LiteRtCreateOptions", by(self.options))
        call("LiteRtSetOptionsHardwareAccelerators", self.options, c_int(CPU))
        self._option("runtime_options_string", "enable_profiling = true\n")
        self._option("xnnpack", f"num_threads = {threads}\n")
        call("LiteRtCreateCompiledModel", self.environment, self.file, self.options, by(self.model))
        signature, inputs, outputs = c_void_p(), c_size_t(), c_size_t()
        call("LiteRtGetModelSignature", self.file, c_size_t(0), by(signature))
        call("LiteRtGetNumSignatureInputs", signature, by(inputs))
        call("LiteRtGetNumSignatureOutputs", signature, by(outputs))
        self.sources = (c_void_p * inputs.value)(
            *(self._buffer("Input", index, signature) for index in range(inputs.value))
        )
        self.targets = (c_void_p * outputs.value)(
            *(self._buffer("Output", index, signature) for index in range(outputs.value))
        )

    def _option(self, name: str, toml: str) -> None:
        c = ctypes.CDLL(None)
        c.strdup.restype, c.strdup.argtypes, c.free.argtypes = c_void_p, [c_char_p], [c_void_p]
        option = c_void_p()
        text = c_void_p(c.strdup(toml.encode()))
        free = ctypes.cast(c.free, c_void_p)
        self.library.call("LiteRtCreateOpaqueOptions", name.encode(), text, free, ctypes.byref(option))
        self.library.call("LiteRtAddOpaqueOptions", self.options, option)

    def _buffer(self, way: str, number: int, signature: c_void_p) -> Optional[int]:
        call, by, index = self.library.call, ctypes.byref, c_size_t(number)
        needs, tensor, buffer = c_void_p(), c_void_p(), c_void_p()
        call(f"LiteRtGetCompiledModel{way}BufferRequirements", self.model, c_size_t(0), index, by(needs))
        call(f"LiteRtGetSignature{way}TensorByIndex", signature, index, by(tensor))
        ranked = (c_uint8 * RANKED_TYPE_BYTES)()
        call("LiteRtGetRankedTensorType", tensor, ranked)
        words = (ctypes.c_int32 * (RANKED_TYPE_BYTES // 4)).from_buffer(ranked)
        for word in range(2, 2 + MAX_RANK):  # element type, rank, sizes
            if words[word] == -1:  # the open batch axis
                words[word] = 1
        call("LiteRtCreateManagedTensorBufferFromRequirements", self.environment, ranked, needs, by(buffer))
        return buffer.value

    def fill(self, inputs: Sequence[bytes]) -> None:
        """Give each input its bytes: they come in the order of the file, which is that of its first signature."""
        for source, data in zip(self.sources, inputs):  # noqa: B905 - Python 3.8
            self._fill(c_void_p(source), data)

    def _fill(self, source: c_void_p, data: bytes) -> None:
        size, address = c_size_t(), c_void_p()
        self.library.call("LiteRtGetTensorBufferPackedSize", source, ctypes.byref(size))
        if size.value != len(data):
            raise RuntimeError(f"the input has {size.value} bytes, not {len(data)}")
        self.library.call("LiteRtLockTensorBuffer", source, ctypes.byref(address), c_int(WRITE))
        ctypes.memmove(address, data, len(data))
        self.library.call("LiteRtUnlockTensorBuffer", source)

    def invoke(self) -> None:
        inputs, outputs = c_size_t(len(self.sources)), c_size_t(len(self.targets))
        self.library.call(
            "LiteRtRunCompiledModel", self.model, c_size_t(0), inputs, self.sources, outputs, self.targets
        )
