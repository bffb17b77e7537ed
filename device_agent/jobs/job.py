"""One job on the board: the process that runs it, its records, and how it ended.

    jobs/<id>/submit        the Submit record, as received
    jobs/<id>/process.json  the process that runs it: number, start time, boot; written by itself (jobs/supervisor.py)
    jobs/<id>/events        its records, one a line, numbered from 1; Ended is the last
    jobs/<id>/heartbeat     CLOCK_MONOTONIC in nanoseconds, written by the running job every second
    jobs/<id>/log           its output

Process numbers are reused, so a process is identified by its number and start time together; a boot by its boot_id. A job that
is not running and has no Ended record gets one that says why. The agent that starts a job, and then the job's process, holds a
lock on its folder: until process.json exists, that distinguishes a job that is starting from one that never came up.
"""

import contextlib
import fcntl
import json
import os
import signal
import time
from typing import Iterator, NamedTuple, Optional

from device_agent import wire
from device_agent.board import procfs
from device_agent.board.processes import boot_id, boottime_ns, oom_kills, start_ticks
from device_agent.channel import Refused

SLACK_NS = 60_000_000_000  # after a job's own limit, which it failed to obey
STALE_NS = 20_000_000_000  # of the heartbeat: the process exists, but hangs
ENDED_LIMIT_BYTES = 1 << 16


class Process(NamedTuple):
    """The content of process.json."""

    pid: int
    start_ticks: int
    boot_id: str
    started_ns: int  # CLOCK_BOOTTIME, which runs while the board sleeps, and which nobody can set
    ends_ns: int  # CLOCK_BOOTTIME: its own limit, and SLACK_NS
    oom_kills: Optional[int]  # by the kernel until then

    def is_alive(self) -> bool:
        return self.boot_id == boot_id() and start_ticks(self.pid) == self.start_ticks


def this_process(timeout_ns: int) -> Process:
    pid, now_ns = os.getpid(), boottime_ns()
    return Process(pid, start_ticks(pid) or 0, boot_id(), now_ns, now_ns + timeout_ns + SLACK_NS, oom_kills())


class Job:
    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.job_id = os.path.basename(folder)

    def submitted(self) -> wire.Submit:
        with open(os.path.join(self.folder, "submit"), "rb") as file:
            record = wire.decode(file.read())
        if not isinstance(record, wire.Submit):
            raise Refused("internal", f"{self.folder}/submit holds another record")
        return record

    def is_of_another_version(self) -> bool:
        """Whether an agent with another job format left it, or it is damaged: unusable either way."""
        try:
            self.submitted()
            self.process()
            self.ended()
        except (OSError, ValueError, TypeError, Refused):
            return True
        return False

    def process(self) -> Optional[Process]:
        """Return the job's process; None: it has not come up."""
        try:
            with open(os.path.join(self.folder, "process.json"), encoding="ascii") as file:
                return Process(**json.load(file))
        except FileNotFoundError:
            return None

    def ended(self) -> Optional[wire.Ended]:
        """Return the last record if it is Ended. It is short, so the end of the file is enough."""
        try:
            with open(os.path.join(self.folder, "events"), "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - ENDED_LIMIT_BYTES))
                last = file.read().split(b"\n")[-2:-1]
        except FileNotFoundError:
            return None
        record = wire.decode(last[0]) if last and last[0].startswith(b'{"kind":"Ended"') else None
        return record if isinstance(record, wire.Ended) else None

    def has_failures(self) -> bool:
        """Whether one of its launches or pairs has failed."""
        return any(line.startswith(b'{"kind":"LaunchFailed"') for line in self._lines())

    def is_starting(self) -> bool:
        """Whether it may still come up, if process() is None. (Its process holds the lock to its end.)"""
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(folder)
        return False

    def state(self) -> str:
        ended = self.ended()
        if ended is not None:
            return ended.state
        process = self.process()
        if process is None and self.is_starting():
            return wire.RUNNING
        if process is not None and process.is_alive():
            if self._silent_ns() <= STALE_NS and boottime_ns() <= process.ends_ns:
                return wire.RUNNING
            os.kill(process.pid, signal.SIGKILL)
            self.end(wire.TIMEOUT, f"the job's process {process.pid} hung and was killed")
        else:
            self.end(*_why_gone(process))
        return self.state()

    def age_ns(self) -> Optional[int]:
        """Return the time since it was submitted; None: before the last reboot of the board."""
        process = self.process()
        if process is None or process.boot_id != boot_id():
            return None
        return boottime_ns() - process.started_ns

    def info(self) -> wire.JobInfo:
        state, submitted = self.state(), self.submitted()
        done = sum(line.startswith((b'{"kind":"Launch', b'{"kind":"Paired"')) for line in self._lines())
        ended = self.ended()
        return wire.JobInfo(
            self.job_id,
            submitted.owner,
            state,
            self.age_ns(),
            len(submitted.launches) + len(submitted.pairs),
            done,
            ended.evidence if ended else "",
        )

    def _lines(self) -> Iterator[bytes]:
        """Yield complete lines, one at a time: all may exceed the board's memory. The last may be incomplete: it is being written,
        or was when the power failed.
        """
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self.folder, "events"), "rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))

    def _silent_ns(self) -> int:
        beat = procfs.text(os.path.join(self.folder, "heartbeat"))
        return time.monotonic_ns() - int(beat) if beat else 0

    def end(self, state: str, evidence: str) -> None:
        """Record how the job ended, for a process that cannot do so itself."""
        with open(os.path.join(self.folder, "events"), "ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # another agent may do the same
            if self.ended() is None:
                sizes = [len(line) for line in self._lines()]
                file.truncate(sum(sizes))
                file.write(wire.encode(wire.Ended(len(sizes) + 1, self.job_id, state, evidence)))
                file.flush()
                os.fsync(file.fileno())


def _why_gone(process: Optional[Process]) -> "tuple[str, str]":
    if process is None:
        return wire.KILLED, "the job's process has not come up"
    if process.boot_id != boot_id():
        return wire.LOST, "the board restarted while the job ran"
    kills, why = oom_kills(), "it left no record"
    if kills is not None and process.oom_kills is not None:
        why += ", and the kernel counted no OOM kill"
        if kills > process.oom_kills:
            why = "the kernel has killed a process for lack of memory since it started"
    return wire.KILLED, f"the job's process {process.pid} has ended: {why}"
