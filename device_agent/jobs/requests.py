"""Jobs that outlive the connection: start one, follow what it says, cancel it, remove it. See jobs/job.py for what one is.

The job itself holds the lock of the root (files/layout.py) and that of the machine (board/machine_lock.py), with its owner's name inside.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional, Tuple

from device_agent import wire
from device_agent.board import machine_lock, procfs
from device_agent.board.processes import boottime_ns
from device_agent.channel import Channel, Refused
from device_agent.files.layout import AGENT, Place, locked, newest_first, sync, write_durably
from device_agent.jobs.job import Job, Process

START = "import sys; sys.path.insert(0, sys.argv[1]); from device_agent.jobs.supervisor import main; main()"
START_LIMIT_S = 30.0  # for the job's process to come up on a slow board
HEAD = re.compile(rb'{"kind":"(\w+)","seq":(\d+),')
LOOK_S = 0.25  # between two looks at a job; each takes the CPU from it for 0.1 ms
KEPT = 8  # ended jobs that nobody has fetched
# a file for each user whose manager stays when nobody is logged in: logind's own place
LINGER = "var/lib/systemd/linger"
VIRTUAL = "EDGEPRESS_VIRTUAL"  # of a virtual board's sessions, which no job shall leave (targets/virtual)
OWNER_LIMIT = 200  # characters of its name in the lock


def submit(place: Place, request: wire.Submit) -> wire.Accepted:
    """Start the job, or find it where it was started before and went well. Refused: busy, no_space, and whatever keeps its
    process from starting.
    """
    folder = place.job(request.job_id)
    if os.path.isdir(folder):
        job = Job(folder)
        state, age_ns = job.state(), job.age_ns()
        # one with a launch that failed is not asked again for its answer: the cause may be mended by now
        if state == wire.RUNNING or (state == wire.FINISHED and age_ns is not None and not job.has_failures()):
            return wire.Accepted(request.job_id, state, age_ns or 0, "")
        _remove(place, folder)
    _collect(place)
    place.require_room(0)  # else it would be found full after the measurement
    locks, note = _locks(place, request)
    held = list(locks)
    try:
        with place.workspace() as work:
            new = os.path.join(work, "job")
            os.mkdir(new, mode=0o700)
            held.append(os.open(new, os.O_RDONLY))
            fcntl.flock(held[-1], fcntl.LOCK_EX)
            write_durably(os.path.join(new, "submit"), wire.encode(request))
            os.rename(new, folder)
        sync(os.path.dirname(folder))
        _start(place, folder, locks, held)
    finally:
        for lock in held:  # the job holds them now
            os.close(lock)
    return wire.Accepted(request.job_id, wire.RUNNING, 0, note)


def follow(place: Place, channel: Channel, request: wire.Follow) -> Optional[wire.Paused]:
    """Send every record behind `after_seq`, up to Ended. Another request of the host: Paused. Refused: not_found."""
    job = _found(place, request.job_id)
    wait_s, gone, line = 0.01, False, b""
    with open(os.path.join(job.folder, "events"), "ab+") as events:
        events.seek(0)
        while True:
            line += events.readline()  # one at a time: all of a job may be more than the board has memory
            if line.endswith(b"\n"):
                kind, seq = _head(line)
                if seq > request.after_seq or kind == b"Ended":
                    channel.send_line(line)
                if kind == b"Ended":
                    return None
                line = b""
                continue
            if gone:
                raise Refused("internal", f"the records of the job {request.job_id} have no end")
            gone = job.state() != wire.RUNNING
            if gone:
                events.seek(-len(line), os.SEEK_CUR)  # half a line may have been replaced by the end
                line = b""
                continue
            if channel.buffer or channel.waits(wait_s):
                channel.check()
                return wire.Paused(request.job_id)
            if time.monotonic() >= channel.next_working:
                channel.send(wire.Working())
            wait_s = min(2 * wait_s, LOOK_S)


def _head(line: bytes) -> Tuple[bytes, int]:
    """The kind and the number of a job's record. To decode all of one takes the CPU from the job for 0.3 s: a million times."""
    match = HEAD.match(line)
    if match is None:
        raise Refused("internal", f"a record of the job is damaged: {line[:80]!r}")
    return match.group(1), int(match.group(2))


def cancel(place: Place, request: wire.Cancel) -> wire.Cancelled:
    """End the job; it has ended when this returns. Refused: not_found."""
    job = _found(place, request.job_id)
    while job.process() is None and job.is_starting():
        time.sleep(0.01)
    process = job.process()
    if process is not None and process.is_alive():
        os.kill(process.pid, signal.SIGTERM)
        _wait_for_end(process, 5.0)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            _wait_for_end(process, 5.0)
            job.end(wire.CANCELLED, "it was cancelled, and killed because it did not end by itself")
    return wire.Cancelled(request.job_id, job.state())


def listed(place: Place) -> wire.JobList:
    jobs = []
    for job in reversed(_newest_first(place)):
        with contextlib.suppress(FileNotFoundError):  # another agent removes it
            jobs.append(job.info())
    return wire.JobList(tuple(jobs))


def forget(place: Place, request: wire.Forget) -> wire.Forgotten:
    """Refused: busy (it runs). One that is not here is forgotten: the host asks again where a broken link kept the answer,
    and two runs of one plan may have followed it.
    """
    folder = place.job(request.job_id)
    if os.path.isdir(folder):
        job = Job(folder)
        if job.is_starting() if job.is_of_another_version() else job.state() == wire.RUNNING:
            raise Refused("busy", f"the job {request.job_id} is running")
        _remove(place, folder)
    return wire.Forgotten(request.job_id)


def _remove(place: Place, folder: str) -> None:
    """All at once, as the next agent collects what is in tmp/: nothing could be said of half a job."""
    aside = os.path.join(place.tmp, "job-" + os.path.basename(folder))
    shutil.rmtree(aside, ignore_errors=True)  # of an agent that was killed here
    with contextlib.suppress(FileNotFoundError):  # another agent was quicker
        os.rename(folder, aside)
    shutil.rmtree(aside, ignore_errors=True)


def _found(place: Place, job_id: str) -> Job:
    folder = place.job(job_id)
    if not os.path.isdir(folder):
        raise Refused("not_found", f"there is no job {job_id}")
    job = Job(folder)
    if job.is_of_another_version():
        raise Refused("other_version", f"the job {job_id} is of another version of edgepress, which alone can read it")
    return job


# --- starting


def _locks(place: Place, request: wire.Submit) -> Tuple[List[int], str]:
    """Of the root and of the machine, and a note where the machine has none. Refused "busy" says who has it, and since when."""
    now_ns = boottime_ns()
    holder = {"owner": request.owner[:OWNER_LIMIT], "job_id": request.job_id, "since_ns": now_ns, "root": place.root}
    lock = _lock(place, holder)
    try:
        taken = machine_lock.take(holder, now_ns)
    except BaseException:
        os.close(lock)
        raise
    return ([lock] if taken.descriptor is None else [lock, taken.descriptor]), taken.note


def _lock(place: Place, holder: Dict[str, Any]) -> int:
    descriptor = os.open(place.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # who finds the lock taken shall find the name of its holder, too
        with locked(os.path.join(place.root, "jobs")):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused("busy", _holder(descriptor)) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _holder(descriptor: int) -> str:
    try:
        held: Dict[str, Any] = json.loads(os.pread(descriptor, 1 << 12, 0))
        age_s = (boottime_ns() - held["since_ns"]) / 1e9
        return f"{held['owner']} has been measuring on this board for {age_s:.0f} s (job {held['job_id']})"
    except (ValueError, KeyError, TypeError, RecursionError):  # damaged, or the disk was full: it is held all the same
        return "another edgepress measures on this board, and its lock does not say who"


def _start(place: Place, folder: str, locks: List[int], held: List[int]) -> None:
    """Returns when the job's process has written process.json: from then on it is known, and is alive or not. It holds all that
    is held; the locks among it are given back before its end is told.
    """
    command = [sys.executable, "-IB", "-c", START, AGENT, place.root, folder, ",".join(map(str, locks))]
    with open(os.path.join(folder, "log"), "wb") as log:
        process = subprocess.Popen(
            [*scope(os.path.basename(folder)), *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=held,
            start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + START_LIMIT_S
    while not os.path.exists(os.path.join(folder, "process.json")):
        if process.poll() is not None or time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            with open(os.path.join(folder, "log"), errors="replace", encoding="utf-8") as log_text:
                said = log_text.read()[-2000:].strip()
            _remove(place, folder)
            raise Refused("internal", f"the job's process did not come up: {said or 'it said nothing'}")
        time.sleep(0.002)


def scope(name: str) -> List[str]:
    """Where systemd would end our processes with the login session (KillUserProcesses=yes), a scope of the user's own keeps
    them; it needs a user manager that lingers. Everywhere else a session of its own (setsid) is enough.
    """
    user, program = os.environ.get("USER", ""), shutil.which("systemd-run")
    lingers = bool(user) and os.path.exists(os.path.join(procfs.root(), LINGER, user))
    if program is None or not lingers or VIRTUAL in os.environ:
        return []
    os.environ.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")  # no login shell has set it
    command = [program, "--user", "--scope", "--quiet", "--collect"]
    if procfs.answers([(*command, "echo", "works")]).get((*command, "echo", "works"), "").strip() != "works":
        return []
    return [*command, "--unit", "edgepress-" + name]


def _newest_first(place: Place) -> List[Job]:
    """Jobs of this boot by their age, which no change of the clock changes; then the others by the time of their files."""
    jobs = []
    for job in map(Job, newest_first(os.path.join(place.root, "jobs"))):
        try:
            job.submitted()
            jobs.append((job.age_ns(), job))
        except (OSError, ValueError, TypeError) as error:  # removed meanwhile, or of another version of the agent
            print(f"edgepress: the job {job.job_id} cannot be read: {error}", file=sys.stderr)
    return [job for _, job in sorted(jobs, key=lambda each: (each[0] is None, each[0] or 0))]


def _collect(place: Place) -> None:
    """Ended jobs that nobody has fetched, but the newest."""
    for job in _newest_first(place)[KEPT:]:
        with contextlib.suppress(FileNotFoundError):  # another agent removes it
            if job.state() != wire.RUNNING:
                _remove(place, job.folder)


def _wait_for_end(process: Process, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
