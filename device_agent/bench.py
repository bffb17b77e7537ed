"""Run a job: each launch in a fresh process (runner.py) that may hang or crash without taking us along.

The runner talks over a pipe of its own, one JSON object a line: {"event": [phase, done, of]}, {"failed": {...}} or
{"done": {...}}. What it prints (native libraries do) goes into another pipe, of which the last bytes are kept for messages.
"""

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, Iterator, Optional, Tuple

from device_agent import conditions, facts, wire
from device_agent.channel import CHUNK_BYTES, Channel, Refused
from device_agent.meters import METERS, Sampler
from device_agent.place import Place
from device_agent.runtimes import RUNTIMES

FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START = "import sys; sys.path.insert(0, sys.argv[1]); from device_agent.runner import main; main()"
TAIL_BYTES = 4000
MAX_RUNS = 1_000_000  # so that the raw answer stays below wire.MAX_LINE_BYTES
EXIT_S = 10  # for a process that has said everything

CHOICES = {
    "mode": ("time", "evaluate"),
    "model_format": ("tflite", "onnx", "sleep"),
    "runtime": tuple(RUNTIMES),
    "meter": tuple(METERS),
}
LIMITS = {"threads": (1, 1024), "timed_min_runs": (1, MAX_RUNS), "timed_max_runs": (1, MAX_RUNS), "timeout_ns": (1, 1 << 62),
          "warmup_min_ns": (0, 1 << 62), "warmup_max_ns": (0, 1 << 62), "timed_min_ns": (0, 1 << 62)}  # fmt: skip


def run(place: Place, work: str, channel: Channel, job: wire.Job) -> wire.Finished:
    """Send the events and results of every launch. A failed launch does not stop the job. Refused: busy, bad_request."""
    for launch in job.launches:
        _check(place, launch)
    with place.measuring():
        for index, launch in enumerate(job.launches):
            channel.check()
            with tempfile.TemporaryDirectory(prefix="launch-", dir=work) as folder:
                channel.send(_Run(place, channel, folder, index, launch).result())
    return wire.Finished(len(job.launches))


def _check(place: Place, launch: wire.Launch) -> None:
    for name, choices in CHOICES.items():
        if getattr(launch, name) not in choices:
            raise Refused("bad_request", f"{name} is {getattr(launch, name)!r}, not one of {', '.join(choices)}")
    for name, (low, high) in LIMITS.items():
        if not low <= getattr(launch, name) <= high:
            raise Refused("bad_request", f"{name} is {getattr(launch, name)}, not {low} to {high}")
    place.blob(launch.model_sha256)
    for site in launch.sites:
        place.site(site)
    if launch.mode == "evaluate":
        place.blob(launch.inputs_sha256)


class _Run:
    """One launch."""

    def __init__(self, place: Place, channel: Channel, folder: str, index: int, launch: wire.Launch) -> None:
        self.place, self.channel, self.folder, self.index, self.launch = place, channel, folder, index, launch
        self.sampler = Sampler(launch.meter)
        self.phase = "started"
        self.tail = b""
        self.answer: Optional[Dict[str, Any]] = None  # of the runner: "done" or "failed"

    def result(self) -> Any:
        """wire.Launched or wire.LaunchFailed."""
        missing = self._missing()
        if missing:
            return self._failed("not_found", missing)
        before, kills = conditions.observe(), _oom_kills()
        deadline_ns = time.monotonic_ns() + self.launch.timeout_ns
        try:
            with self._runner() as (process, messages):
                self.channel.send(wire.Event(self.index, "started", 0, 1))
                self._follow(process, messages, deadline_ns)
                code = process.wait(EXIT_S) if self.answer is None else 0
        except subprocess.TimeoutExpired:
            return self._failed("timeout", f"no end after {self.launch.timeout_ns / 1e9:g} s, in phase {self.phase}")
        finally:
            self.sampler.stop()
        if self.answer is None:
            return self._died(code, kills)
        if "failed" in self.answer:
            return wire.LaunchFailed(self.index, **self.answer["failed"])
        return self._launched(before, self.answer["done"])

    def _missing(self) -> str:
        launch, place = self.launch, self.place
        for what, sha256, path in (
            ("model", launch.model_sha256, place.blob),
            ("inputs", launch.inputs_sha256, place.blob),
            *(("site", site, place.site) for site in launch.sites),
        ):
            if sha256 and not os.path.exists(path(sha256)):
                return f"the {what} {sha256} is not on the board"
        return ""

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
                    stdin.write(json.dumps(dataclasses.asdict(self.launch)).encode())
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
        with selectors.DefaultSelector() as selector:
            for source in (self.channel.input_fd, messages, printed):
                selector.register(source, selectors.EVENT_READ)
            while True:
                left_s = (deadline_ns - time.monotonic_ns()) / 1e9
                if left_s <= 0:
                    raise subprocess.TimeoutExpired(process.args, self.launch.timeout_ns / 1e9)
                for key, _ in selector.select(left_s):
                    if key.fd == self.channel.input_fd:
                        self.channel.check()
                        continue
                    data = os.read(key.fd, CHUNK_BYTES)
                    if key.fd == printed:
                        self.tail = (self.tail + data)[-TAIL_BYTES:]
                        if not data:
                            selector.unregister(printed)
                    elif not data:
                        self._drain(printed)
                        return
                    else:
                        *lines, pending = (pending + data).split(b"\n")
                        for line in lines:
                            self._hear(json.loads(line))

    def _hear(self, message: Dict[str, Any]) -> None:
        if "event" not in message:
            self.answer = message
            return
        phase, done, of = message["event"]
        if phase == "timed" and self.phase != "timed":
            self.sampler.start()
        self.phase = phase
        self.channel.send(wire.Event(self.index, phase, done, of))

    def _drain(self, printed: int) -> None:
        """What was printed last matters most."""
        os.set_blocking(printed, False)
        with contextlib.suppress(BlockingIOError):
            self.tail = (self.tail + os.read(printed, CHUNK_BYTES))[-TAIL_BYTES:]

    def _launched(self, before: wire.Conditions, done: Dict[str, Any]) -> wire.Launched:
        timed = done.pop("timed_ns")
        power = self.sampler.between(*timed)
        done["memory"] = tuple(wire.MemoryStep(**step) for step in done["memory"])
        after = conditions.observe()
        return wire.Launched(
            index=self.index, before=before, after=after, power_uw=power, meter_note=self.sampler.told(), **done
        )

    def _died(self, code: int, kills: Optional[int]) -> wire.LaunchFailed:
        if code >= 0:
            return self._failed("exit", f"the runner ended with exit code {code} and no result{self._printed()}")
        name = signal.Signals(-code).name
        now = _oom_kills()
        why = ""
        if name == "SIGKILL" and kills is not None and now is not None and now > kills:
            why = "; the kernel has killed a process for lack of memory meanwhile"
        return self._failed(name, f"the runner was killed by {name}{why}{self._printed()}")

    def _failed(self, error: str, message: str) -> wire.LaunchFailed:
        return wire.LaunchFailed(self.index, self.phase, error, message)

    def _printed(self) -> str:
        said = self.tail.decode(errors="replace").strip()
        return f"; it said last: {said}" if said else ""


def _oom_kills() -> Optional[int]:
    kills = facts.field("proc/vmstat", "^oom_kill ([0-9]+)$")
    return int(kills) if kills is not None else None
