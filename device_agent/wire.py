"""The records between host and agent, and their text form: one JSON object a line. No I/O; the host imports this file.

The agent starts with MARK on a line of its own (login shells and native libraries print before it), then Hello. Then, for
each request line of the host, the agent answers one or more lines, the last of them not an Event:

    Have          -> Present
    Put           -> Ready, then the host sends `size_bytes` raw bytes, -> Stored
    Unpack        -> Unpacked
    Observe       -> Conditions
    Job           -> (Event | Launched | LaunchFailed)* -> Finished
    Get           -> Blob, then `size_bytes` raw bytes follow
    anything      -> Failure

PROTOCOL history (an agent is pushed by the hash of its content, so versions never meet; the number is a second lock):
    1  first
"""

import dataclasses
import json
import re
import typing
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple, Type, TypeVar

PROTOCOL = 1
MARK = b"--edgepress-agent-1--"
MAX_LINE_BYTES = 32 * 1024 * 1024

SHA256 = re.compile("^[0-9a-f]{64}$")


class WireError(ValueError):
    """The other side sent something that is not a record of this protocol."""


@dataclass(frozen=True)
class Machine:
    """What the board is. Empty text or None: it does not tell."""

    model: str  # device tree, else DMI
    cpu: str
    cpu_count: int  # that this process may use
    arch: str  # uname -m
    bits: int  # of the Python process: a 64-bit kernel may carry a 32-bit system
    kernel: str
    os: str  # PRETTY_NAME of /etc/os-release
    python: str  # 3.11.2
    libc: str  # glibc or musl
    libc_version: str
    memory_bytes: int
    cpu_max_khz: Optional[int]
    governor: Optional[str]
    release: Optional[str]  # of NVIDIA's board support package, "R36.4.3"
    power_mode: Optional[str]  # nvpmodel's name of it, "15W"
    emulator: Optional[str]  # "QEMU": an emulated machine, whose timings say nothing about a board
    packages: Tuple[str, ...]  # runtimes that the system's own Python has, "tensorrt 8.6.2": see runtimes/


@dataclass(frozen=True)
class Hello:
    protocol: int
    agent_sha256: str
    machine: Machine


@dataclass(frozen=True)
class Have:
    """Which of these blobs and sites (by hash) are on the board?"""

    blobs: Tuple[str, ...]
    sites: Tuple[str, ...]


@dataclass(frozen=True)
class Present:
    blobs: Tuple[str, ...]
    sites: Tuple[str, ...]


@dataclass(frozen=True)
class Put:
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Ready:
    """There is room and nobody else is sending this blob: send it."""

    sha256: str


@dataclass(frozen=True)
class Stored:
    sha256: str


@dataclass(frozen=True)
class Unpack:
    """Make the site `sha256` of the wheel that is the blob `sha256`. `name`, its file name, is for messages."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Unpacked:
    sha256: str


@dataclass(frozen=True)
class Observe:
    pass


@dataclass(frozen=True)
class Conditions:
    """The state of the board at one moment. None: it does not tell."""

    t_ns: int  # CLOCK_MONOTONIC
    temperature_mc: Optional[int]  # milli-degrees Celsius, the hottest zone
    cpu_khz: Optional[int]  # the lowest of all cores
    governor: Optional[str]
    throttle_flags: Optional[int]  # Raspberry Pi: vcgencmd get_throttled
    load_average_milli: Optional[int]  # 1 minute, in thousandths
    cpu_pressure_centi: Optional[int]  # PSI cpu some avg10, in hundredths of a per cent
    available_bytes: Optional[int]


@dataclass(frozen=True)
class Launch:
    """One fresh process: open one model in one runtime, and either time it or let it answer all rows."""

    mode: str  # time, evaluate
    model_sha256: str
    model_format: str  # tflite, onnx, sleep: the ending that the runtime sees
    runtime: str
    sites: Tuple[str, ...]  # put on sys.path in this order; () for a runtime that needs no wheels
    inputs_sha256: str  # a .npy blob, (rows, ...); "" = zeros
    threads: int
    warmup_min_ns: int
    warmup_max_ns: int
    timed_min_ns: int
    timed_min_runs: int
    timed_max_runs: int
    timeout_ns: int
    meter: str


@dataclass(frozen=True)
class Job:
    """Launches, in the order in which they run. The host has chosen and recorded the order."""

    launches: Tuple[Launch, ...]


@dataclass(frozen=True)
class Event:
    index: int  # of the launch
    phase: str  # started, load, warmup, timed, evaluate
    done: int
    of: int


@dataclass(frozen=True)
class MemoryStep:
    step: str  # python, runtime_imported, model_loaded, first_inference, end
    resident_bytes: Optional[int]  # None: this kernel does not tell
    anonymous_bytes: Optional[int]  # RssAnon needs Linux 4.5
    file_bytes: Optional[int]


@dataclass(frozen=True)
class Launched:
    index: int
    runtime_version: str
    import_ns: int
    load_ns: int
    first_ns: int
    warmup_ns: Tuple[int, ...]
    steady: bool  # False: the warm-up reached its limit before it became steady
    latency_ns: Tuple[int, ...]  # empty in mode "evaluate"
    memory: Tuple[MemoryStep, ...]
    peak_bytes: Optional[int]
    involuntary_switches: int  # of the runner while it was timed
    run_delay_ns: Optional[int]  # time that the runner waited for a CPU while it was timed
    power_uw: Tuple[Tuple[int, int], ...]  # (t_ns, microwatt)
    meter_note: str  # why there is no power, or what the meter is
    outputs_sha256: str  # mode "evaluate": a .npy blob, float32 (rows, ...); else ""
    before: Conditions
    after: Conditions


@dataclass(frozen=True)
class LaunchFailed:
    index: int
    phase: str
    error: str  # type name, signal name or "timeout"
    message: str


@dataclass(frozen=True)
class Finished:
    launches: int


@dataclass(frozen=True)
class Get:
    sha256: str


@dataclass(frozen=True)
class Blob:
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Failure:
    """The request could not be served. `error`: no_space, bad_upload, not_found, bad_wheel, busy,
    bad_request or internal.
    """

    error: str
    message: str


KINDS = {
    kind.__name__: kind
    for kind in (
        Hello, Have, Present, Put, Ready, Stored, Unpack, Unpacked, Observe, Conditions, Job, Event, Launched,
        LaunchFailed, Finished, Get, Blob, Failure,
    )
}  # fmt: skip

R = TypeVar("R")


def encode(record: Any) -> bytes:
    """One line, newline included."""
    text = json.dumps({"kind": type(record).__name__, **dataclasses.asdict(record)}, separators=(",", ":"))
    return text.encode() + b"\n"


def decode(line: bytes) -> Any:
    """The record of one line. WireError names what is missing, unknown or of the wrong type."""
    if len(line) > MAX_LINE_BYTES:
        raise WireError("a line of %d bytes is longer than the limit of %d" % (len(line), MAX_LINE_BYTES))
    try:
        fields = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WireError("not a JSON line: %s (%r)" % (error, line[:80])) from error
    if not isinstance(fields, dict):
        raise WireError("a line must be a JSON object, not %s" % type(fields).__name__)
    name = fields.pop("kind", None)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise WireError("unknown kind of record: %r" % (name,))
    return from_fields(kind, fields)


def from_fields(kind: Type[R], fields: Dict[str, Any]) -> R:
    """Build the record `kind` of decoded JSON, strictly: no field missing, none unknown, each of its type."""
    hints = typing.get_type_hints(kind)
    missing, unknown = sorted(set(hints) - set(fields)), sorted(set(fields) - set(hints))
    if missing or unknown:
        raise WireError("%s: missing %s, unknown %s" % (kind.__name__, missing, unknown))
    return kind(**{name: _value(fields[name], hint, kind.__name__ + "." + name) for name, hint in hints.items()})


def _value(value: Any, hint: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:  # Optional[T]
        return None if value is None else _value(value, arguments[0], where)
    if origin is tuple:
        if not isinstance(value, list):
            raise WireError("%s must be a list, not %s" % (where, type(value).__name__))
        if arguments[-1] is Ellipsis:
            return tuple(_value(item, arguments[0], where) for item in value)
        if len(value) != len(arguments):
            raise WireError("%s must have %d items, not %d" % (where, len(arguments), len(value)))
        return tuple(_value(item, each, where) for item, each in zip(value, arguments))  # noqa: B905
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise WireError("%s must be an object, not %s" % (where, type(value).__name__))
        return from_fields(hint, value)  # type: ignore[arg-type]
    if type(value) is not hint:  # bool is not an int here
        raise WireError("%s must be %s, not %s" % (where, hint.__name__, type(value).__name__))
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise WireError("%s does not fit 64 bits" % where)
    if where.endswith("sha256") and value and not SHA256.fullmatch(value):
        raise WireError("%s must be 64 hexadecimal digits" % where)
    return value
