"""Run the launches of a job: each in a fresh process (runner.py) that may hang or crash without taking us along.

The runner talks over a pipe of its own, one JSON object a line: {"event": [phase, done, of]}, {"failed": {...}} or
{"done": {...}}. What it prints (native libraries do) goes into another pipe, of which the last bytes are kept for messages.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional, Tuple

from device_agent import conditions, wire
from device_agent.channel import CHUNK_BYTES, Refused
from device_agent.job import oom_kills, stat
from device_agent.meters import METERS, Sampler
from device_agent.place import Place, is_intact
from device_agent.record import to_fields
from device_agent.runtimes import RUNTIMES

if TYPE_CHECKING:
    from device_agent.supervisor import Spool

FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START = "import sys; sys.path.insert(0, sys.argv[1]); from device_agent.runner import main; main()"
TAIL_BYTES = 4000
MAX_RUNS = 1_000_000  # so that the raw answer stays below wire.MAX_LINE_BYTES
EXIT_S = 10  # for a process that has said everything
LOOK_S = 1.0  # at a runner that says nothing
IDLE_S = 20.0  # longer than the longest idle_ns; without a word and without a tick of CPU time: it hangs. Loading from the slowest card takes ticks

CHOICES = {
    "mode": ("time", "evaluate", "energy"),
    "model_format": ("tflite", "onnx", "sleep"),
    "runtime": tuple(RUNTIMES),
}
LIMITS = {"threads": (1, 1024), "timed_min_runs": (1, MAX_RUNS), "timed_max_runs": (1, MAX_RUNS), "timeout_ns": (1, 1 << 62),
          "warmup_min_ns": (0, 1 << 62), "warmup_max_ns": (0, 1 << 62), "timed_min_ns": (0, 1 << 62),
          "idle_ns": (0, 15_000_000_000), "pattern_ns": (0, 15_000_000_000)}  # fmt: skip


class OutOfTime(Exception):
    """The whole job."""


def check(place: Place, request: wire.Submit) -> None:
    """Refused "bad_request" for what can not be launched."""
    for launch in request.launches:
        _check(place, launch)


def run(place: Place, work: str, spool: "Spool", request: wire.Submit) -> None:
    """Spool the events and results of every launch. A failed launch does not stop the job. OutOfTime."""
    deadline_ns = time.monotonic_ns() + request.timeout_ns
    damaged = _damaged(place, spool, request)
    for index, launch in enumerate(request.launches):
        with tempfile.TemporaryDirectory(prefix="launch-", dir=work) as folder:
            spool.send(_Run(place, spool, folder, index, launch, damaged, deadline_ns).result())


def _damaged(place: Place, spool: "Spool", request: wire.Submit) -> "set[str]":
    """The blobs and sites of the job that have another content than they had. They are removed: the host will send them again."""
    from device_agent.wheels import is_sound  # here: zipfile would delay the answer to Submit

    wanted = {sha256 for launch in request.launches for sha256 in (launch.model_sha256, launch.inputs_sha256) if sha256}
    damaged = set()
    for sha256 in sorted(wanted):
        with contextlib.suppress(FileNotFoundError), spool.cancellable():
            if not is_intact(place.blob(sha256)):
                damaged.add(sha256)
    for site in sorted({site for launch in request.launches for site in launch.sites}):
        with contextlib.suppress(FileNotFoundError), spool.cancellable():
            if not is_sound(place.site(site)):
                damaged.add(site)
    return damaged


def _check(place: Place, launch: wire.Launch) -> None:
    for name, choices in CHOICES.items():
        if getattr(launch, name) not in choices:
            raise Refused("bad_request", f"{name} is {getattr(launch, name)!r}, not one of {', '.join(choices)}")
    for name, (low, high) in LIMITS.items():
        if not low <= getattr(launch, name) <= high:
            raise Refused("bad_request", f"{name} is {getattr(launch, name)}, not {low} to {high}")
    unknown = [use.name for use in launch.meters if use.name not in METERS]
    if unknown:
        raise Refused("bad_request", f"there is no meter {unknown[0]!r}, but {', '.join(METERS)}")
    place.blob(launch.model_sha256)
    for site in launch.sites:
        place.site(site)
    if launch.mode == "evaluate":
        place.blob(launch.inputs_sha256)


class _Run:
    """One launch."""

    def __init__(
        self, place: Place, spool: "Spool", folder: str, index: int, launch: wire.Launch, damaged: "set[str]", job_deadline_ns: int
    ) -> None:  # fmt: skip
        self.place, self.spool, self.folder, self.index, self.launch = place, spool, folder, index, launch
        self.damaged, self.job_deadline_ns = damaged, job_deadline_ns
        self.sampler = Sampler(launch.meters)
        self.phase = "started"
        self.tail = b""
        self.answer: Optional[Dict[str, Any]] = None  # of the runner: "done" or "failed"

    def result(self) -> Any:
        """wire.Launched or wire.LaunchFailed."""
        missing = self._missing()
        if missing is not None:
            return self._failed(*missing)
        before, kills = conditions.observe(), oom_kills()
        deadline_ns = time.monotonic_ns() + self.launch.timeout_ns
        try:
            with self._runner() as (process, messages):
                self.spool.send(wire.Event(0, self.index, "started", 0, 1))
                self._follow(process, messages, deadline_ns)
                code = process.wait(EXIT_S) if self.answer is None else 0
        except subprocess.TimeoutExpired as error:
            return self._failed(
                "timeout", f"{error.output or f'no end after {error.timeout:g} s'}, in phase {self.phase}"
            )
        finally:
            self.sampler.stop()
        if self.answer is None:
            return self._died(code, kills)
        if "failed" in self.answer:
            return wire.LaunchFailed(0, self.index, **self.answer["failed"])
        return self._launched(before, self.answer["done"])

    def _missing(self) -> Optional[Tuple[str, str]]:
        """The error and its message, where something that the launch needs is not sound."""
        launch, place = self.launch, self.place
        for what, sha256, path in (
            ("model", launch.model_sha256, place.blob),
            ("inputs", launch.inputs_sha256, place.blob),
            *(("site", site, place.site) for site in launch.sites),
        ):
            if sha256 in self.damaged:
                return "damaged", f"the {what} {sha256} was damaged on the board's disk and is removed: send it again"
            if sha256 and not os.path.exists(path(sha256)):
                return "not_found", f"the {what} {sha256} is not on the board"
        return None

    @contextlib.contextmanager
    def _runner(self) -> "Iterator[Tuple[subprocess.Popen[bytes], int]]":
        """The started child and the pipe of its messages. Its whole process group is dead afterwards, whatever happens."""
        read_end, write_end = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-c", START, FOLDER, self.place.root, self.folder, str(write_end), str(os.getpid())],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[write_end],
                start_new_session=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # numpy's own pool would only cost memory
            )  # fmt: skip
            try:
                os.close(write_end)
                write_end = -1
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError), process.stdin as stdin:  # it died: _died() tells
                    stdin.write(json.dumps(to_fields(self.launch)).encode())
                yield process, read_end
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                assert process.stdout is not None
                process.stdout.close()
        finally:
            os.close(read_end)
            if write_end >= 0:
                os.close(write_end)

    def _follow(self, process: "subprocess.Popen[bytes]", messages: int, deadline_ns: int) -> None:
        """Until the runner closes its pipe of messages: it has said everything, or is dead."""
        assert process.stdout is not None
        printed, pending = process.stdout.fileno(), b""
        ticks, idle_since = 0, time.monotonic()
        with selectors.DefaultSelector() as selector:
            for source in (messages, printed):
                selector.register(source, selectors.EVENT_READ)
            while True:
                self._in_time(process, deadline_ns)
                with self.spool.cancellable():
                    ready = selector.select(LOOK_S)
                for key, _ in ready:
                    data = os.read(key.fd, CHUNK_BYTES)
                    if key.fd == printed:
                        self.tail = (self.tail + data)[-TAIL_BYTES:]
                        if not data:
                            selector.unregister(printed)
                    elif not data:
                        self._drain(printed)
                        return
                    else:
                        idle_since = time.monotonic()
                        *lines, pending = (pending + data).split(b"\n")
                        for line in lines:
                            self._hear(json.loads(line))
                now = _cpu_ticks(process.pid)
                if now != ticks:
                    ticks, idle_since = now, time.monotonic()
                elif time.monotonic() - idle_since > IDLE_S:
                    idle = f"it hangs: no word from it and no CPU time for {IDLE_S:g} s"
                    raise subprocess.TimeoutExpired(process.args, IDLE_S, idle)

    def _in_time(self, process: "subprocess.Popen[bytes]", deadline_ns: int) -> None:
        now_ns = time.monotonic_ns()
        if now_ns > self.job_deadline_ns:
            raise OutOfTime(f"the job's time was over in launch {self.index}, phase {self.phase}")
        if now_ns > deadline_ns:
            raise subprocess.TimeoutExpired(process.args, self.launch.timeout_ns / 1e9)

    def _hear(self, message: Dict[str, Any]) -> None:
        if "event" not in message:
            self.answer = message
            return
        phase, done, of = message["event"]
        self.sampler.enter(phase)
        self.phase = phase
        self.spool.send(wire.Event(0, self.index, phase, done, of))

    def _drain(self, printed: int) -> None:
        """What was printed last matters most."""
        os.set_blocking(printed, False)
        with contextlib.suppress(BlockingIOError):
            self.tail = (self.tail + os.read(printed, CHUNK_BYTES))[-TAIL_BYTES:]

    def _launched(self, before: wire.Conditions, done: Dict[str, Any]) -> wire.Launched:
        done["memory"] = tuple(wire.MemoryStep(**step) for step in done["memory"])
        done["energy"] = wire.EnergyWindow(**done["energy"]) if done["energy"] else None
        after = conditions.observe()
        return wire.Launched(seq=0, index=self.index, before=before, after=after, power=self.sampler.traces(), **done)

    def _died(self, code: int, kills: Optional[int]) -> wire.LaunchFailed:
        if code >= 0:
            return self._failed("exit", f"the runner ended with exit code {code} and no result{self._printed()}")
        name = signal.Signals(-code).name
        now = oom_kills()
        why = ""
        if name == "SIGKILL" and kills is not None and now is not None and now > kills:
            why = "; the kernel has killed a process for lack of memory meanwhile"
        return self._failed(name, f"the runner was killed by {name}{why}{self._printed()}")

    def _failed(self, error: str, message: str) -> wire.LaunchFailed:
        return wire.LaunchFailed(0, self.index, self.phase, error, message)

    def _printed(self) -> str:
        said = self.tail.decode(errors="replace").strip()
        return f"; it said last: {said}" if said else ""


def _cpu_ticks(pid: int) -> int:
    """CPU time that the process has used, in clock ticks (proc(5), stat, fields 14 and 15)."""
    fields = stat(pid)
    return int(fields[11]) + int(fields[12]) if len(fields) > 12 else 0
