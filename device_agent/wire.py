"""The records between host and agent, and their text form: one JSON object a line. No I/O; the host imports this file.

The agent starts with MARK on a line of its own (login shells and native libraries print before it), then Hello. Then, for
each request line of the host, the agent answers one or more lines, of which the last is neither an Event nor Working:

    Have          -> Present
    Put           -> Ready, then the host sends frames (below), -> Stored
    Unpack        -> Unpacked
    Observe       -> Conditions
    Tune          -> Tuned
    Meters        -> MeterList
    Submit        -> Accepted: the job runs on its own from here on, even if the connection breaks
    Follow        -> (Event | Launched | Paired | LaunchFailed)* -> Ended; any other request before that: -> Paused, and its own answer
    Cancel        -> Cancelled
    Jobs          -> JobList
    Forget        -> Forgotten
    Clean         -> Cleaned
    Uninstall     -> Uninstalled, and the agent ends
    Get           -> Blob, then `size_bytes` raw bytes follow
    anything      -> Failure
    (while busy)  -> Working, at least every WORKING_S, so that silence means trouble

A frame carries a piece of a blob: FRAME (coding, bytes that follow, bytes of the blob in it), then the bytes. The coding is RAW
or DEFLATED (zlib); a frame with the coding END and no bytes ends an upload early. Failure may come before all frames are sent.

PROTOCOL history (an agent is pushed by the hash of its content, so versions never meet; the number is a second lock):
    1  first
    2  jobs that outlive the connection; uploads in frames, from an offset
    3  pairs of interleaved launches; pinned processes; inputs in rotation
    4  meters: several a launch, power or energy
    5  cleaning up: Clean, Uninstall; a note in Accepted; the numbers of the CPUs that a process may use; the time in which a
       runner's delays were counted; a maximum length of texts
    6  any number of inputs and outputs; state that a model passes from one inference to the next
    7  the user's own functions before and after the model, timed with it: mode "end_to_end"
"""

from __future__ import annotations

import json
import struct

from device_agent.record import MAX_TEXT as MAX_TEXT  # noqa: PLC0414 - the host imports all of these from here
from device_agent.record import EdgepressError as EdgepressError  # noqa: PLC0414
from device_agent.record import Record as Record  # noqa: PLC0414
from device_agent.record import WireError as WireError  # noqa: PLC0414
from device_agent.record import from_fields, to_fields
from device_agent.record import shortened as shortened  # noqa: PLC0414

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional, Tuple

PROTOCOL = 7
MARK = b"--edgepress-agent-1--"
MAX_LINE_BYTES = 32 * 1024 * 1024
WORKING_S = 5.0
GOLDEN_ROWS, GOLDEN_VALUES = 4, 64

FRAME = struct.Struct(">BII")
RAW, DEFLATED, END = 0, 1, 2
MAX_FRAME_BYTES = 1 << 20  # of the blob in one frame

# The states of a job. Only FINISHED has results; `evidence` says what is known about the others.
RUNNING = "RUNNING"
FINISHED = "FINISHED"
CANCELLED = "CANCELLED"
FAILED = "FAILED"  # the agent could not continue: a bug in it, or a full disk
TIMEOUT = "TIMEOUT"  # it hung, or did not end within its time
KILLED = "KILLED"  # its process disappeared without a word
LOST = "LOST"  # the board has restarted since
STATES = (RUNNING, FINISHED, CANCELLED, FAILED, TIMEOUT, KILLED, LOST)


class Machine(Record):
    """What the board is. Empty text or None: unknown."""

    model: str  # device tree, else DMI
    cpu: str
    cpu_count: int  # that this process may use
    cpus: Tuple[int, ...]  # these, by the kernel's numbers
    arch: str  # uname -m
    bits: int  # of the Python process: a 64-bit kernel may run a 32-bit system
    kernel: str
    os: str  # PRETTY_NAME of /etc/os-release
    python: str  # 3.11.2
    libc: str  # glibc or musl
    libc_version: str
    memory_bytes: int
    cpu_max_khz: Optional[int]
    governor: Optional[str]
    release: Optional[str]  # of NVIDIA's board support package, "R36.4.3"
    power_mode: Optional[str]  # nvpmodel's name for it, "15W"
    emulator: Optional[str]  # "QEMU": an emulated machine, whose timings say nothing about a board
    packages: Tuple[str, ...]  # runtimes that the system's own Python has, "tensorrt 8.6.2": see runtimes/


class Hello(Record):
    protocol: int
    agent_sha256: str
    machine: Machine


class Have(Record):
    """Which of these blobs and sites (by hash) are on the board?"""

    blobs: Tuple[str, ...]
    sites: Tuple[str, ...]


class Present(Record):
    blobs: Tuple[str, ...]
    sites: Tuple[str, ...]


class Put(Record):
    sha256: str
    size_bytes: int


class Ready(Record):
    """There is room, and no other host is sending this blob: send what follows `offset_bytes`."""

    sha256: str
    offset_bytes: int  # already on the board, from an upload that was cut off


class Stored(Record):
    sha256: str


class Unpack(Record):
    """Unpack the wheel that is the blob `sha256` into the site `sha256`. `name`, its file name, is for messages."""

    name: str
    sha256: str


class Unpacked(Record):
    sha256: str


class Observe(Record):
    pass


class Tune(Record):
    """Fix governor and clocks until the lease ends."""

    lease_ns: int  # 0: restore what was there
    while_used: bool  # also restore it when the board has had no job for a minute


class Tuned(Record):
    """For people, one line each."""

    changed: Tuple[str, ...]
    refused: Tuple[str, ...]  # commands for what this user may not do
    restored: Tuple[str, ...]  # first, from an earlier lease


class Core(Record):
    cpu: int
    khz: Optional[int]
    min_khz: Optional[int]  # the governor's lower limit: equal to max_khz if the clock is fixed
    max_khz: Optional[int]


class Conditions(Record):
    """The state of the board at one moment. None: unknown. Counters (`_us`, `_count`, `_pages`) run since the board was started:
    only the difference between two moments matters.
    """

    t_ns: int  # CLOCK_MONOTONIC
    wall_offset_ns: int  # CLOCK_REALTIME - CLOCK_MONOTONIC: it changes when the clock is set, or while the board sleeps
    temperature_mc: Optional[int]  # milli-degrees Celsius, the hottest zone
    cpu_khz: Optional[int]  # the lowest of all cores
    cores: Tuple[Core, ...]  # those that are on and report a clock
    gpu_khz: Optional[int]  # Jetson
    gpu_min_khz: Optional[int]  # equal to gpu_max_khz if the clock is fixed, as by jetson_clocks
    gpu_max_khz: Optional[int]
    governor: Optional[str]
    power_mode: Optional[str]  # nvpmodel's name for it, "15W"
    throttle_flags: Optional[int]  # Raspberry Pi: vcgencmd get_throttled
    throttle_count: Optional[int]  # x86: how often a core or the package was too hot
    cooling_states: Optional[int]  # of the kernel's cooling devices that slow processors down; 0: none is active
    undervoltage: Optional[bool]  # Raspberry Pi
    supply_mv: Optional[int]  # Raspberry Pi 5
    load_average_milli: Optional[int]  # 1 minute, in thousandths
    cpu_pressure_centi: Optional[int]  # PSI cpu some avg10, in hundredths of a percent
    cpu_stalled_us: Optional[int]  # PSI some, total: some task waited for a CPU
    memory_stalled_us: Optional[int]
    io_stalled_us: Optional[int]
    swapped_in_pages: Optional[int]
    busy_us: Optional[int]  # CPU time of all programs, on all CPUs
    steal_us: Optional[int]  # taken by the hypervisor
    own_us: int  # CPU time of the agent's process and its ended children
    busiest: str  # the program outside the job that used the most CPU time since the last observation; "": none
    busiest_us: int
    available_bytes: Optional[int]


class MeterUse(Record):
    """A power meter, and how it is wired: see meters/."""

    name: str
    settings: Tuple[Tuple[str, str], ...]  # (key, value)


class Meters(Record):
    """Can these be read? (): which meters does the board have that need no settings?"""

    uses: Tuple[MeterUse, ...]


class MeterInfo(Record):
    name: str
    rail: str  # what it measures, and how exactly; "" if it cannot be read
    quality: str  # measured, coarse
    period_ns: int  # between two readings
    accumulates: bool  # it integrates energy itself
    error: str  # why it cannot be read; "": it can


class MeterList(Record):
    meters: Tuple[MeterInfo, ...]


class Input(Record):
    """One input of a model. The rows of a launch's inputs belong together."""

    tensor: str  # what the runtime calls it: a name in ONNX, an index in TFLite; "": it is the only one
    shape: Tuple[int, ...]  # of the whole tensor, where the file leaves axes open; (): as the file says
    sha256: str  # a .npy blob, (rows, ...); "": zeros
    constant: bool  # its only row belongs to each row of the others


class OwnFunction(Record):
    """A function of the user's own, in a Python file that needs nothing but numpy and the standard library."""

    module: str  # the name of its file, without .py
    name: str
    sha256: str  # a blob: the file


class NamedRows(Record):
    name: str
    sha256: str  # a .npy blob, (rows, ...)


class EndToEnd(Record):
    """What mode "end_to_end" times as one: a row through `preprocess`, the model and `postprocess`. One of the two is there."""

    preprocess: Optional[OwnFunction]  # None: the rows are what the model takes
    postprocess: Optional[OwnFunction]
    rows: Tuple[NamedRows, ...]  # as the user's data has them, with equally many rows
    fed: Tuple[
        Tuple[str, str], ...
    ]  # for each of launch.inputs: the array that it takes then, and its type; ("", ""): as in other modes
    outputs: Tuple[str, ...]  # what `postprocess` knows them by, for each output


class Launch(Record):
    """One fresh process: open one model in one runtime, and time it, evaluate all rows, profile its operators, run it for the
    meters, or time it together with the user's own functions.
    """

    mode: str  # time, evaluate, profile, energy, end_to_end, or turns (a side of a Pair)
    model_sha256: str
    model_format: str  # tflite, onnx, sleep: the file extension that the runtime sees
    runtime: str
    sites: Tuple[str, ...]  # put on sys.path in this order; (): the runtime needs no wheels
    inputs: Tuple[Input, ...]  # those that are not named here are zeros
    outputs: Tuple[str, ...]  # what the runtime calls them; (): all, in the file's order
    state: Tuple[
        Tuple[str, str], ...
    ]  # (input, output): each inference takes what the one before has answered, the first zeros
    sequences: (
        bool  # a row is a sequence, (steps, ...) of each input: one inference a step, and the state ends with the row
    )
    half: bool  # mode "evaluate": answers of floating point are kept as float16
    rotated_rows: int  # this number of its first rows rotate as the timed input
    threads: int
    cpus: Tuple[int, ...]  # the process is bound to these; (): to `threads` of the board's fastest
    warmup_min_ns: int
    warmup_max_ns: int
    timed_min_ns: int
    timed_min_runs: int
    timed_max_runs: int
    timeout_ns: int
    meters: Tuple[MeterUse, ...]  # of this board, read during the launch
    idle_ns: int  # mode "energy": idle time before and after
    pattern_ns: int  # mode "energy": first, three times busy and idle for this long, to align a meter's clock; 0: none
    end_to_end: Optional[EndToEnd]  # mode "end_to_end"


class Pair(Record):
    """Two interleaved launches: both are warmed up, then each cycle is four short blocks, ABBA or BAAB.

    A block ends after both `block_min_ns` and `block_min_runs` inferences, or after `block_max_runs`. Of the launches' own limits,
    only those of the warm-up, `timeout_ns` and `timed_max_runs` (of how many inferences the times are kept) apply.
    """

    a: Launch
    b: Launch
    starts: str  # AB or BA: which process is started first
    cycles: Tuple[str, ...]  # ABBA or BAAB, each
    block_min_ns: int
    block_min_runs: int
    block_max_runs: int


class Submit(Record):
    """Launches, then pairs, in the order in which they run. The host has chosen and recorded the order.

    `job_id` is a hash of the job's content and owner, so that submitting it twice starts it once.
    """

    job_id: str
    owner: str  # for people: the user of the board
    timeout_ns: int  # of the whole job
    launches: Tuple[Launch, ...]
    pairs: Tuple[Pair, ...]
    band_mc: int  # before each, the board cools down to within this of its temperature at the job's start
    cool_ns: int  # limit for all waiting together; 0: it does not wait
    band_from_mc: Optional[int]  # use this start temperature, of an earlier job; None: the present one


class Accepted(Record):
    job_id: str
    state: str  # RUNNING or FINISHED
    age_ns: int  # since it was started; 0: just now
    note: str  # for people: what this board cannot guarantee during the job; "": nothing


class Follow(Record):
    """Send all of the job's records after number `after_seq`, past and future; 0: from the beginning."""

    job_id: str
    after_seq: int


class Paused(Record):
    job_id: str


class Cancel(Record):
    job_id: str


class Cancelled(Record):
    job_id: str
    state: str  # its state now


class Jobs(Record):
    pass


class JobInfo(Record):
    job_id: str
    owner: str
    state: str
    age_ns: Optional[int]  # None: from before the last restart
    launches: int  # and pairs
    done: int  # how many have a result
    evidence: str


class JobList(Record):
    jobs: Tuple[JobInfo, ...]  # the oldest first


class Forget(Record):
    """The results are safe on the host: remove the job. A running one stays."""

    job_id: str


class Forgotten(Record):
    job_id: str


class Clean(Record):
    """Remove what is not needed: files and unpacked wheels that no job uses and that were not requested for `unused_ns`; jobs
    whose results can no longer be fetched; agents of other versions.
    """

    unused_ns: int
    keep_bytes: int  # this much of the most recently used files and unpacked wheels stays
    dry_run: bool  # only report what would be removed


class Cleaned(Record):
    blob_count: int
    site_count: int
    agent_count: int
    job_count: int
    removed_bytes: int
    left_bytes: int  # everything below the root


class Uninstall(Record):
    """Remove the whole root, but only what belongs to edgepress."""

    dry_run: bool


class Uninstalled(Record):
    root: str
    removed_bytes: int
    kept: Tuple[str, ...]  # names in the root that do not belong to edgepress: it stays for them


class Working(Record):
    """Still working."""


class Event(Record):
    seq: int  # of the job's records, from 1
    index: int  # of the launch; pairs are counted after the launches
    phase: str  # cooling, started, load, golden, preprocess, postprocess, warmup, timed, evaluate; pattern, idle, without, with, settle (bench/energy.py)
    done: int
    of: int


class MemoryStep(Record):
    step: str  # python, runtime_imported, model_loaded, allocated (if separate), inputs_ready, first_inference, end
    resident_bytes: Optional[int]  # None: this kernel does not report it
    anonymous_bytes: Optional[int]  # needs Linux 4.5
    file_bytes: Optional[int]
    private_dirty_bytes: Optional[int]  # needs Linux 4.14
    available_bytes: Optional[int]  # of the whole board


class Operator(Record):
    """One kernel that the runtime runs in each inference; it may be several fused operators of the file."""

    name: str
    kind: str
    shapes: str  # of the inputs and outputs, as reported by the runtime; "": unknown
    mean_ns: int  # without the slowest tenth of the runs
    runs: int


class PowerTrace(Record):
    """The readings of one meter. One of `power_uw` and `energy_uj` is empty, the other as long as `t_ns`."""

    meter: str
    rail: str
    quality: str  # measured, coarse
    gain_ppm: Optional[int]  # maximum gain error; None: not specified
    offset_uw: Optional[int]  # maximum offset error; None: not specified
    period_ns: int
    delay_ns: int  # a reading shows the power at most this long before `t_ns`
    t_ns: Tuple[int, ...]  # the middle of each reading; CLOCK_MONOTONIC
    power_uw: Tuple[int, ...]  # microwatts, of a meter that reports power
    energy_uj: Tuple[int, ...]  # microjoules since some moment, of a meter that integrates
    failed: int  # readings that failed
    missed: int  # periods without a reading, because the one before took longer
    reading_ns: int  # time spent on readings, in all
    note: str  # why there is nothing, or what failed last; else ""


class EnergyWindow(Record):
    """Mode "energy": what ran when, in CLOCK_MONOTONIC."""

    runs: int  # inferences from `start_ns` to `end_ns`
    start_ns: int
    end_ns: int
    lead_ns: int  # the model also ran this long before `start_ns` and after `end_ns`
    idle: Tuple[Tuple[int, int], ...]  # (start_ns, end_ns) before and after
    busy: Tuple[Tuple[int, int], ...]  # (start_ns, end_ns) of the pattern
    sampler: Tuple[Tuple[int, int], ...]  # mean ns of an inference (without, with) the meters being read, alternating


class Given(Record):
    """An array that a function of the user's own returned for one row."""

    name: str
    shape: Tuple[int, ...]  # without its first axis, which is 1


class EndToEndTimed(Record):
    """Mode "end_to_end": the parts of each time of `latency_ns`; what is left of it is that of `postprocess`."""

    preprocess_ns: Tuple[int, ...]  # with bringing the row into the form that the model takes
    inference_ns: Tuple[int, ...]
    # what the model was given for the first GOLDEN_ROWS rows, GOLDEN_VALUES of each, of all that the functions make
    golden: Tuple[float, ...]
    gives: Tuple[Given, ...]  # what `postprocess` returns; (): there is no such function
    # of the rows and of the files of the functions, preprocess first, as they were read; "": as model_sha256
    files_sha256: Tuple[str, ...]


class Launched(Record):
    seq: int
    index: int
    runtime_version: str
    delegates: Tuple[str, ...]  # what runs the model, according to the runtime: its execution providers, or XNNPACK
    model_sha256: str  # of the file that it read; "": unknown, the file was changed and changed back
    inputs_sha256: Tuple[str, ...]  # as model_sha256, of each input of the launch; "": zeros
    in_band: Optional[bool]  # False: the board did not cool down in time; None: no sensor, or no waiting
    cold_start_ns: int  # from just before the process was started to the end of the first inference
    import_ns: int
    load_ns: int
    first_ns: int
    warmup_ns: Tuple[int, ...]
    steady: bool  # False: the warm-up reached its limit before it became steady
    latency_ns: Tuple[int, ...]  # empty in mode "evaluate"
    # this process's outputs for the first GOLDEN_ROWS rows (of sequences: their first steps), GOLDEN_VALUES of each, from all outputs
    golden: Tuple[float, ...]
    cpus: Tuple[int, ...]  # it was bound to these; (): the kernel does not support that
    memory: Tuple[MemoryStep, ...]
    peak_bytes: Optional[int]
    # peak of the whole job so far, with its page cache; None: it has no control group of its own
    job_peak_bytes: Optional[int]
    involuntary_switches: int  # of the runner while it was timed
    major_faults: int  # pages read from a disk while it was timed
    run_delay_ns: Optional[int]  # time that its threads waited for a CPU while it was timed
    counted_ns: int  # how long these three were counted: more than the inferences alone
    power: Tuple[PowerTrace, ...]  # one for each meter of the launch
    energy: Optional[EnergyWindow]  # mode "energy"
    end_to_end: Optional[EndToEndTimed]  # mode "end_to_end", whose latency_ns are of all together
    # mode "evaluate": a .npy blob (rows, ...) for each output, without its first axis where that is 1; else ()
    outputs_sha256: Tuple[str, ...]
    operators: Tuple[Operator, ...]  # mode "profile": in execution order; else empty
    operators_note: str  # mode "profile": their source, or why they are missing; else ""
    before: Conditions
    after: Conditions


class Block(Record):
    """One block of one side of a pair. Its times are the next `runs` of that side's `latency_ns`."""

    cycle: int
    side: str  # A or B
    start_ns: int  # CLOCK_MONOTONIC
    end_ns: int
    runs: int
    involuntary_switches: int
    run_delay_ns: Optional[int]
    counted_ns: int  # as in Launched
    cpu_khz: Optional[int]  # of the fastest CPU in use (idle ones clock down), just after the block
    temperature_mc: Optional[int]
    major_faults: int
    gpu_khz: Optional[int]


class Paired(Record):
    seq: int
    index: int
    a: Launched
    b: Launched
    blocks: Tuple[Block, ...]
    idle: Tuple[Tuple[int, int], ...]  # (start_ns, end_ns) before and after the blocks, each `a.idle_ns`
    power: Tuple[PowerTrace, ...]  # of the meters of `a`, over the whole pair


class LaunchFailed(Record):
    """A launch or pair without a result. For a pair, `message` names the side."""

    seq: int
    index: int
    phase: str
    error: str  # type name, signal name or "timeout"
    message: str


class Ended(Record):
    """The last record of a job."""

    seq: int
    job_id: str
    state: str
    evidence: str  # for people; "" for FINISHED


class Get(Record):
    sha256: str


class Blob(Record):
    sha256: str
    size_bytes: int


class Failure(Record):
    """The request could not be served. `error`: no_space, no_inodes, quota, read_only, not_writable, bad_upload, not_found,
    bad_wheel, busy, other_version, bad_request or internal.
    """

    error: str
    message: str
    errno: str  # ENOSPC, EROFS...: the error of the board's kernel; "" if it was not one


KINDS = {
    kind.__name__: kind
    for kind in (
        Hello, Have, Present, Put, Ready, Stored, Unpack, Unpacked, Observe, Conditions, Meters, MeterList, Tune, Tuned, Submit, Accepted, Follow, Paused,
        Cancel, Cancelled, Jobs, JobList, Forget, Forgotten, Clean, Cleaned, Uninstall, Uninstalled, Working, Event, PowerTrace, Launched, Paired, LaunchFailed, Ended, Get, Blob, Failure,
    )
}  # fmt: skip


def encode(record: Record) -> bytes:
    """Return the record as one line, with its newline."""
    text = json.dumps({"kind": type(record).__name__, **to_fields(record)}, separators=(",", ":"))
    return text.encode() + b"\n"


def decode(line: bytes) -> Any:
    """Return the record in a line. WireError names what is missing, unknown or of the wrong type."""
    if len(line) > MAX_LINE_BYTES:
        raise WireError("a line of %d bytes is longer than the limit of %d" % (len(line), MAX_LINE_BYTES))
    try:
        fields = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WireError("not a JSON line: %.200s (%r)" % (error, line[:80])) from None
    if not isinstance(fields, dict):
        raise WireError("a line must be a JSON object, not %s" % type(fields).__name__)
    name = fields.pop("kind", None)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise WireError("unknown kind of record: %.80r" % (name,))
    return from_fields(kind, fields)
