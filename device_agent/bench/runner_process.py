"""One runner (bench/runner.py) as its parent sees it: a fresh process that may hang or crash without harm to us.

The runner talks over its own pipe, one JSON object a line: {"event": [phase, done, of]} as it works; {"ready": ...} and
{"block": {...}} if it is to wait for orders; and {"failed": {...}} or {"done": {...}} at the end. What it prints (native
libraries do) goes into another pipe, whose last bytes are kept for messages. Orders go to its standard input.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from device_agent import wire
from device_agent.bench.spool import Spool
from device_agent.board.processes import oom_kills, stat
from device_agent.channel import CHUNK_BYTES
from device_agent.files.layout import AGENT
from device_agent.files.verified import file_of
from device_agent.record import to_fields

START = "import sys; sys.path.insert(0, sys.argv[1]); from device_agent.bench.runner import main; main()"
TAIL_BYTES = 4000
EXIT_S = 10  # for a process that has sent everything
LOOK_S = 1.0  # between looks at a silent runner
IDLE_S = 20.0  # without a message or a tick of CPU time: it hangs. Loading from the slowest card takes ticks; more than the longest idle_ns
# In these phases of the mode end_to_end the user's functions run, and CPU time says nothing: a function may loop for ever
OF_FUNCTIONS = ("preprocess", "postprocess", "warmup", "timed")

Message = Dict[str, Any]


class OutOfTime(Exception):
    """The time of the whole job is over."""


class Failed(Exception):
    """The launch ends without a result."""

    def __init__(self, phase: str, error: str, message: str) -> None:
        super().__init__(phase, error, message)
        self.phase, self.error, self.message = phase, error, message


class RunnerProcess:
    """A context manager: its whole process group is dead afterwards, whatever happens."""

    def __init__(
        self,
        root: str,
        folder: str,
        cpus: Sequence[int],
        launch: wire.Launch,
        files: Sequence[Optional[int]],
        spool: Spool,
        report: Callable[[str, int, int], None],
        job_deadline_ns: int,
    ) -> None:
        """`files`: the descriptors of the model and of each input. `report` is called with (phase, done, of) of every event."""
        self.spool, self.report, self.launch = spool, report, launch
        self.deadline_ns, self.job_deadline_ns = time.monotonic_ns() + launch.timeout_ns, job_deadline_ns
        self.phase = "started"
        self.tail = b""
        self._pending = b""
        self._received: List[Message] = []
        self._ended = False
        self._kills = oom_kills()
        self._messages, write_end = os.pipe()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-IB", "-c", START, AGENT, root, folder, str(write_end), str(os.getpid()),
                 ",".join(map(str, cpus)), str(time.perf_counter_ns()), *("" if file is None else file_of(file) for file in files)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[write_end, *(file for file in files if file is not None)],
                start_new_session=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # numpy's own pool would only cost memory
            )  # fmt: skip
        except BaseException:
            os.close(self._messages)
            raise
        finally:
            os.close(write_end)
        self._selector = selectors.DefaultSelector()
        assert self.process.stdout is not None
        self._printed = self.process.stdout.fileno()
        for source in (self._messages, self._printed):
            self._selector.register(source, selectors.EVENT_READ)

    def __enter__(self) -> "RunnerProcess":
        self.order(json.dumps(to_fields(self.launch)))
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._selector.close()
        os.close(self._messages)
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def order(self, line: str) -> None:
        """Send an order. A runner that died is noticed by the next answer()."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()

    def answer(self, kind: str) -> Any:
        """Wait for the message of this kind, and return its content. Events go to `report`. Failed, OutOfTime."""
        ticks, idle_since = 0, time.monotonic()
        while not self._received and not self._ended:
            self._in_time()
            with self.spool.cancellable():
                ready = self._selector.select(LOOK_S)
            for key, _ in ready:
                if self._read(key.fd):
                    idle_since = time.monotonic()
            now = _cpu_ticks(self.process.pid)
            if now != ticks and not self._is_in_functions():
                ticks, idle_since = now, time.monotonic()
            elif time.monotonic() - idle_since > IDLE_S:
                sign = "message" if self._is_in_functions() else "message and no CPU time"
                self._timed_out(f"it hangs: no {sign} for {IDLE_S:g} s")
        if not self._received:
            self._died()
        message = self._received.pop(0)
        if "failed" in message:
            raise Failed(**message["failed"])
        return message[kind]

    def _read(self, source: int) -> bool:
        """Read from a pipe; whether the runner has sent a message."""
        data = os.read(source, CHUNK_BYTES)
        if source == self._printed:
            self.tail = (self.tail + data)[-TAIL_BYTES:]
            if not data:
                self._selector.unregister(source)
            return False
        if not data:
            self._ended = True
            self._selector.unregister(source)
            self._drain()
            return True
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            message = self._message(line)
            if "event" in message:
                self.phase, done, of = message["event"]
                self.report(self.phase, done, of)
            else:
                self._received.append(message)
        return True

    def _message(self, line: bytes) -> Message:
        """Failed for what is not a message: code of the user's may have written into the pipe."""
        try:
            message = json.loads(line.decode())
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict) or len(message) != 1:
            what = wire.shortened(repr(line), 100)
            raise Failed(self.phase, "garbage", "where its messages are expected, its process wrote " + what)
        return message

    def _is_in_functions(self) -> bool:
        return self.launch.end_to_end is not None and self.phase in OF_FUNCTIONS

    def _in_time(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns > self.job_deadline_ns:
            raise OutOfTime(f"the job's time was over in phase {self.phase}")
        if now_ns > self.deadline_ns:
            self._timed_out(f"no end after {self.launch.timeout_ns / 1e9:g} s")

    def _timed_out(self, why: str) -> None:
        raise Failed(self.phase, "timeout", f"{why}, in phase {self.phase}")

    def _drain(self) -> None:
        """Read what is left: what was printed last matters most."""
        os.set_blocking(self._printed, False)
        with contextlib.suppress(BlockingIOError):
            self.tail = (self.tail + os.read(self._printed, CHUNK_BYTES))[-TAIL_BYTES:]

    def _died(self) -> None:
        try:
            code = self.process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            self._timed_out(f"no end after {EXIT_S:g} s")
        error, message = _death(code, self._kills)
        printed = self.tail.decode(errors="replace").strip()
        raise Failed(self.phase, error, message + (f"; it said last: {printed}" if printed else ""))


def _death(code: int, kills: Optional[int]) -> Tuple[str, str]:
    """Return the error and its message."""
    if code >= 0:
        return "exit", f"the runner ended with exit code {code} and no result"
    name = signal.Signals(-code).name
    now = oom_kills()
    why = ""
    if name == "SIGKILL" and kills is not None and now is not None and now > kills:
        why = "; the kernel has killed a process for lack of memory since it started"
    return name, f"the runner was killed by {name}{why}"


def _cpu_ticks(pid: int) -> int:
    """Return the CPU time of the process, in clock ticks (proc(5), stat, fields 14 and 15)."""
    fields = stat(pid)
    return int(fields[11]) + int(fields[12]) if len(fields) > 12 else 0
