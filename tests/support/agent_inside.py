"""The agent's parts in the process of the tests: a channel over real pipes, without an agent behind it."""

import fcntl
import json
import os
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.board.processes import boot_id, boottime_ns, oom_kills, start_ticks
from device_agent.channel import Channel, Refused
from device_agent.jobs.job import Job, Process


class Host:
    """The other ends of the agent's pipes. A pipe holds all that is sent here, so no second thread is needed."""

    def __init__(self) -> None:
        (agent_in, self.out), (self.into, agent_out) = os.pipe(), os.pipe()
        for descriptor in (self.out, agent_out):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 1 << 20)
        os.set_blocking(self.into, False)
        self.ends = [agent_in, agent_out, self.into]
        self.channel = Channel(agent_in, agent_out)

    def send(self, data: bytes) -> None:
        """All that there is: then the input ends."""
        assert os.write(self.out, data) == len(data)
        self.close_out()

    def close_out(self) -> None:
        if self.out >= 0:
            os.close(self.out)
        self.out = -1

    def said(self) -> bytes:
        try:
            return os.read(self.into, 1 << 20)
        except BlockingIOError:
            return b""

    def records(self) -> list:
        return [wire.decode(line) for line in self.said().splitlines()]

    def close(self) -> None:
        self.close_out()
        for descriptor in self.ends:
            os.close(descriptor)


def refused(call, *arguments) -> tuple[str, str, str]:
    with pytest.raises(Refused) as told:
        call(*arguments)
    return told.value.error, told.value.message, told.value.errno


def is_held(place) -> bool:
    """Whether somebody uses blobs and sites."""
    return is_locked(Path(place.root, "blobs"))


# --- jobs, as they lie on the disk


def job_id(number: int) -> str:
    return f"{number:032x}"


def request(number: int, *launches: wire.Launch, owner: str = "tester") -> wire.Submit:
    return wire.Submit(job_id(number), owner, 10**12, launches, (), 5000, 0, None)


def made_job(place, number: int, state: str = "", *records, process: Process | None = None) -> Job:
    """A job that has said so much, and then Ended, where there is a state."""
    folder = Path(place.job(job_id(number)))
    folder.mkdir()
    (folder / "submit").write_bytes(wire.encode(request(number)))
    ended = [wire.Ended(len(records) + 1, job_id(number), state, "so it ended")] if state else []
    (folder / "events").write_bytes(b"".join(map(wire.encode, [*records, *ended])))
    if process:
        write_process(folder, process)
    return Job(str(folder))


def write_process(folder: Path, process: Process) -> None:
    (folder / "process.json").write_text(json.dumps(process._asdict()))


def process_of(pid: int, age_ns: int = 10**9, boot: str = "") -> Process:
    now_ns = boottime_ns()
    return Process(pid, start_ticks(pid) or 0, boot or boot_id(), now_ns - age_ns, now_ns + 10**15, oom_kills())


GONE = Process(2**22 + 1, 1, boot_id(), boottime_ns(), boottime_ns() + 10**15, None)  # a number that no process has


def is_locked(path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


ID = job_id(1)
