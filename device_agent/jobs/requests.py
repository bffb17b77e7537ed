"""Jobs that outlive the connection: start one, follow its records, cancel it, remove it. jobs/job.py says what a job is.

The job itself holds the locks of the root (files/layout.py) and the machine (board/machine_lock.py), with its owner's name inside.
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
from device_agent.files.layout import AGENT, Layout, locked, newest_first, sync, write_durably
from device_agent.jobs.job import Job, Process

START = "import sys; sys.path.insert(0, sys.argv[1]); from device_agent.jobs.supervisor import main; main()"
START_LIMIT_S = 30.0  # for the job's process to come up on a slow board
HEAD = re.compile(rb'{"kind":"(\w+)","seq":(\d+),')
LOOK_S = 0.25  # between two looks at a job; each takes 0.1 ms of CPU from it
KEPT = 8  # ended jobs that nobody has fetched
# logind's folder: a file for each user whose manager stays without a login
LINGER = "var/lib/systemd/linger"
VIRTUAL = "EDGEPRESS_VIRTUAL"  # set in a virtual board's sessions, which no job may leave (targets/virtual)
OWNER_LIMIT = 200  # characters of its name in the lock


def submit(layout: Layout, request: wire.Submit) -> wire.Accepted:
    """Start the job, or find the same one if it is running or went well. Refused: busy, no_space, and whatever keeps its
    process from starting.
    """
    folder = layout.job(request.job_id)
    if os.path.isdir(folder):
        job = Job(folder)
        state, age_ns = job.state(), job.age_ns()
        # one with a failed launch is run again: the cause may be fixed by now
        if state == wire.RUNNING or (state == wire.FINISHED and age_ns is not None and not job.has_failures()):
            return wire.Accepted(request.job_id, state, age_ns or 0, "")
        _remove(layout, folder)
    _collect(layout)
    layout.require_room(0)  # else a full disk would be noticed only after the measurement
    locks, note = _locks(layout, request)
    held = list(locks)
    try:
        with layout.workspace() as work:
            new = os.path.join(work, "job")
            os.mkdir(new, mode=0o700)
            held.append(os.open(new, os.O_RDONLY))
            fcntl.flock(held[-1], fcntl.LOCK_EX)
            write_durably(os.path.join(new, "submit"), wire.encode(request))
            os.rename(new, folder)
        sync(os.path.dirname(folder))
        _start(layout, folder, locks, held)
    finally:
        for lock in held:  # the job holds them now
            os.close(lock)
    return wire.Accepted(request.job_id, wire.RUNNING, 0, note)


def follow(layout: Layout, channel: Channel, request: wire.Follow) -> Optional[wire.Paused]:
    """Send every record after `after_seq`, up to Ended. Another request of the host: Paused. Refused: not_found."""
    job = _found(layout, request.job_id)
    wait_s, gone, line = 0.01, False, b""
    with open(os.path.join(job.folder, "events"), "ab+") as events:
        events.seek(0)
        while True:
            line += events.readline()  # one at a time: all together may exceed the board's memory
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
                events.seek(-len(line), os.SEEK_CUR)  # half a line may have been replaced by Ended
                line = b""
                continue
            if channel.buffer or channel.has_input(wait_s):
                channel.check()
                return wire.Paused(request.job_id)
            if time.monotonic() >= channel.next_working:
                channel.send(wire.Working())
            wait_s = min(2 * wait_s, LOOK_S)


def _head(line: bytes) -> Tuple[bytes, int]:
    """Return the kind and the number of a job's record. Decoding a whole one, with up to a million times in it, takes 0.3 s of CPU from the job."""
    match = HEAD.match(line)
    if match is None:
        raise Refused("internal", f"a record of the job is damaged: {line[:80]!r}")
    return match.group(1), int(match.group(2))


def cancel(layout: Layout, request: wire.Cancel) -> wire.Cancelled:
    """End the job; it has ended when this returns. Refused: not_found."""
    job = _found(layout, request.job_id)
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


def listed(layout: Layout) -> wire.JobList:
    jobs = []
    for job in reversed(_newest_first(layout)):
        with contextlib.suppress(FileNotFoundError):  # another agent removes it
            jobs.append(job.info())
    return wire.JobList(tuple(jobs))


def forget(layout: Layout, request: wire.Forget) -> wire.Forgotten:
    """Remove a job. Refused: busy (it runs). A missing one counts as removed: the host asks again if a broken link lost the
    answer, and two runs of one plan may have followed it.
    """
    folder = layout.job(request.job_id)
    if os.path.isdir(folder):
        job = Job(folder)
        if job.is_starting() if job.is_of_another_version() else job.state() == wire.RUNNING:
            raise Refused("busy", f"the job {request.job_id} is running")
        _remove(layout, folder)
    return wire.Forgotten(request.job_id)


def _remove(layout: Layout, folder: str) -> None:
    """Remove a job at once, by moving it to tmp/, which the next agent cleans: half a job would be unreadable."""
    aside = os.path.join(layout.tmp, "job-" + os.path.basename(folder))
    shutil.rmtree(aside, ignore_errors=True)  # left by an agent that was killed here
    with contextlib.suppress(FileNotFoundError):  # another agent was faster
        os.rename(folder, aside)
    shutil.rmtree(aside, ignore_errors=True)


def _found(layout: Layout, job_id: str) -> Job:
    folder = layout.job(job_id)
    if not os.path.isdir(folder):
        raise Refused("not_found", f"there is no job {job_id}")
    job = Job(folder)
    if job.is_of_another_version():
        raise Refused(
            "other_version", f"the job {job_id} belongs to another version of edgepress, and only that can read it"
        )
    return job


# --- starting


def _locks(layout: Layout, request: wire.Submit) -> Tuple[List[int], str]:
    """Take the locks of the root and the machine; a note says why the machine has none. Refused "busy" names the holder."""
    now_ns = boottime_ns()
    holder = {"owner": request.owner[:OWNER_LIMIT], "job_id": request.job_id, "since_ns": now_ns, "root": layout.root}
    lock = _lock(layout, holder)
    try:
        taken = machine_lock.take(holder, now_ns)
    except BaseException:
        os.close(lock)
        raise
    return ([lock] if taken.descriptor is None else [lock, taken.descriptor]), taken.note


def _lock(layout: Layout, holder: Dict[str, Any]) -> int:
    descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # a process that finds the lock taken must also find its holder's name
        with locked(os.path.join(layout.root, "jobs")):
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
    except (ValueError, KeyError, TypeError, RecursionError):  # damaged, or the disk was full; it is held all the same
        return "another edgepress is measuring on this board; its lock does not name the owner"


def _start(layout: Layout, folder: str, locks: List[int], held: List[int]) -> None:
    """Start the job's process, and return when it has written process.json: from then on it can be found. It inherits `held`,
    and releases `locks` before it reports its end.
    """
    command = [sys.executable, "-IB", "-c", START, AGENT, layout.root, folder, ",".join(map(str, locks))]
    with open(os.path.join(folder, "log"), "wb") as log:
        process = subprocess.Popen(
            [*scope(os.path.basename(folder)), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=held,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_LIMIT_S
    while not os.path.exists(os.path.join(folder, "process.json")):
        if process.poll() is not None or time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            with open(os.path.join(folder, "log"), errors="replace", encoding="utf-8") as log_text:
                printed = log_text.read()[-2000:].strip()
            _remove(layout, folder)
            raise Refused("internal", f"the job's process did not come up: {printed or 'it printed nothing'}")
        time.sleep(0.002)


def scope(name: str) -> List[str]:
    """Return the command prefix for a process that outlives the login. If systemd kills processes with the login session
    (KillUserProcesses=yes), a scope of the user keeps them, and needs a lingering user manager. Elsewhere setsid is enough.
    """
    user, program = os.environ.get("USER", ""), shutil.which("systemd-run")
    lingers = bool(user) and os.path.exists(os.path.join(procfs.root(), LINGER, user))
    if program is None or not lingers or VIRTUAL in os.environ:
        return []
    os.environ.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")  # not set without a login shell
    command = [program, "--user", "--scope", "--quiet", "--collect"]
    if procfs.answers([(*command, "echo", "works")]).get((*command, "echo", "works"), "").strip() != "works":
        return []
    return [*command, "--unit", "edgepress-" + name]


def _newest_first(layout: Layout) -> List[Job]:
    """Return jobs of this boot by age, which does not depend on the clock; then the others by the times of their files."""
    jobs = []
    for job in map(Job, newest_first(os.path.join(layout.root, "jobs"))):
        try:
            job.submitted()
            jobs.append((job.age_ns(), job))
        except (OSError, ValueError, TypeError) as error:  # just removed, or from another version of the agent
            print(f"edgepress: the job {job.job_id} cannot be read: {error}", file=sys.stderr)
    return [job for _, job in sorted(jobs, key=lambda each: (each[0] is None, each[0] or 0))]


def _collect(layout: Layout) -> None:
    """Remove ended jobs that were not fetched, except the newest."""
    for job in _newest_first(layout)[KEPT:]:
        with contextlib.suppress(FileNotFoundError):  # another agent removes it
            if job.state() != wire.RUNNING:
                _remove(layout, job.folder)


def _wait_for_end(process: Process, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
