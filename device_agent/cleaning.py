"""Free space on the board: remove what is no longer used, automatically within bounds, and more on request.

These are in use: blobs and sites that a job names, running or not yet fetched, whatever version wrote it; all of them, while
any agent that was asked for one is still running (Layout.use); and what was used recently. The last use is read from a file's
times, which are as good as the board's clock; a clock that was set forward costs no more than sending something again.
"""

import contextlib
import fcntl
import os
import re
import shutil
import time
from typing import Callable, Dict, Iterator, List, NamedTuple, Set, Tuple

from device_agent import wire
from device_agent.channel import Refused
from device_agent.files.layout import FOLDERS, Entry, Layout, is_ours, locked, newest_first
from device_agent.jobs.job import Job

HASH = re.compile(b"[0-9a-f]{64}")
OUTPUTS = re.compile(b'"outputs_sha256":(\\[[^]]*\\]|"[^"]*")')  # one text in jobs of protocol 5 and older
STARTED_NS = 60 * 10**9  # a job starts up this long before it is known to run
OLD_RESULT_NS = 3600 * 10**9  # the host takes no older ones (targets/session.py)
FILES = ("lock", "tuned.json", "tuned.json.new", "tune.log", "jetson_clocks.conf")  # in the root, next to FOLDERS


class Removed(NamedTuple):
    """What was, or would be, removed: how many of each, and their bytes."""

    counts: Dict[str, int]
    size_bytes: int


def bound(layout: Layout) -> None:
    """Apply the automatic bounds, at each start of an agent. Does nothing while another agent works with the files."""
    with contextlib.suppress(Refused):
        _stored(layout, layout.beyond_bounds, dry_run=False)


def clean(layout: Layout, request: wire.Clean) -> wire.Cleaned:
    """Serve wire.Clean. Refused: busy (another agent works with the files, and may be receiving some)."""
    jobs, gone, least_ns = _jobs(layout, dry_run=request.dry_run)
    unused_ns = max(request.unused_ns, least_ns)
    stored = _stored(
        layout, lambda: _chosen(layout, unused_ns, request.keep_bytes), dry_run=request.dry_run, without=gone
    )
    agents = _agents(layout, dry_run=request.dry_run)
    size = stored.size_bytes + jobs.size_bytes + agents.size_bytes
    left = sum(_size(os.path.realpath(os.path.join(layout.root, name))) for name in FOLDERS)
    return wire.Cleaned(
        stored.counts["blobs"],
        stored.counts["sites"],
        agents.counts["agents"],
        jobs.counts["jobs"],
        size,
        max(0, left - size) if request.dry_run else left,
    )


def uninstall(layout: Layout, request: wire.Uninstall) -> wire.Uninstalled:
    """Serve wire.Uninstall. Refused: busy (a job runs, or a file is being sent). Tuned settings are restored first."""
    with _alone(os.path.join(layout.root, "blobs")):  # held to the end: no upload may start into what is being removed
        _no_job_runs(layout)
        if not request.dry_run and os.path.exists(os.path.join(layout.root, "tuned.json")):
            from device_agent.tuning import tune

            tune(layout, wire.Tune(0, False))
        return _uninstalled(layout, dry_run=request.dry_run)


def _uninstalled(layout: Layout, *, dry_run: bool) -> wire.Uninstalled:
    size, kept = 0, sorted(set(os.listdir(layout.root)).difference(FOLDERS, FILES))
    for name in FILES:
        with contextlib.suppress(FileNotFoundError):
            path = os.path.join(layout.root, name)
            size += os.lstat(path).st_size
            if not dry_run:
                os.unlink(path)
    for name in reversed(FOLDERS):  # agents last: that folder marks a root (bootstrap.py)
        path, foreign = os.path.join(layout.root, name), []
        with os.scandir(path) as entries:
            for entry in entries:
                if not is_ours(entry):
                    foreign.append(os.path.join(name, entry.name))
                else:
                    size += _size(entry.path)
                    if not dry_run:
                        _remove(entry.path)
        if not foreign and not dry_run:
            os.unlink(path) if os.path.islink(path) else os.rmdir(path)  # a folder on another disk is not ours
        kept += sorted(foreign)
    if not kept and not dry_run:
        os.rmdir(layout.root)
    return wire.Uninstalled(layout.root, size, tuple(kept[:100]))


# --- what can go


def _stored(
    layout: Layout, choose: Callable[[], List[Entry]], *, dry_run: bool, without: Tuple[str, ...] = ()
) -> Removed:
    """Remove the blobs and sites that `choose` returns and no job needs. `without`: folders of jobs to ignore."""
    count, size = {"blobs": 0, "sites": 0}, 0
    with _alone(os.path.join(layout.root, "blobs")):
        candidates = choose()
        needed = _needed(layout, without) if candidates else set()  # the records of jobs may be long
        for each in candidates:
            if os.path.basename(each.path) not in needed:
                count[each.kind] += 1
                size += _size(each.path)
                if not dry_run:
                    _remove(each.path)
    return Removed(count, size)


def _chosen(layout: Layout, unused_ns: int, keep_bytes: int) -> List[Entry]:
    """Return what has been unused for `unused_ns`, except the most recently used `keep_bytes` of everything."""
    found, now_ns, left = [], time.time_ns(), keep_bytes
    for each in sorted(layout.entries(), key=lambda each: -each.used_ns):
        left -= _size(each.path)
        if abs(now_ns - each.used_ns) >= unused_ns and (left < 0 or not keep_bytes):
            found.append(each)
    return found


def _jobs(layout: Layout, *, dry_run: bool) -> "Tuple[Removed, Tuple[str, ...], int]":
    """Remove jobs whose results can no longer be fetched. Returns them, their folders, and the longest time that a job has been
    running: it may have made files that it has not reported yet.
    """
    gone, size, running_ns = [], 0, 0
    for folder in newest_first(os.path.join(layout.root, "jobs")):
        job = Job(folder)
        if _is_over(job):
            gone.append(folder)
            size += _size(folder)
            if not dry_run:
                _remove(folder)
        elif job.is_starting():
            running_ns = max(running_ns, STARTED_NS + ((not job.is_of_another_version() and job.age_ns()) or 0))
    return Removed({"jobs": len(gone)}, size), tuple(gone), running_ns


def _is_over(job: Job) -> bool:
    try:
        if job.is_of_another_version():
            return not job.is_starting()
        if job.state() == wire.RUNNING:
            return False
        age_ns = job.age_ns()
        return age_ns is None or age_ns > OLD_RESULT_NS or job.state() != wire.FINISHED
    except FileNotFoundError:  # another agent removes it
        return False


def _agents(layout: Layout, *, dry_run: bool) -> Removed:
    """Remove the agents that are not running: a running one, like this, holds a lock on its folder."""
    count, size = 0, 0
    for path in newest_first(os.path.join(layout.root, "agents")):
        with contextlib.suppress(OSError), locked(path, fcntl.LOCK_NB):
            count, size = count + 1, size + _size(path)
            if not dry_run:
                _remove(path)
    return Removed({"agents": count}, size)


def _needed(layout: Layout, without: "Tuple[str, ...]") -> Set[str]:
    """Return all hashes that jobs name, in their requests and in their results."""
    found: Set[bytes] = set()
    for folder in newest_first(os.path.join(layout.root, "jobs")):
        if folder not in without:
            with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, "submit"), "rb") as file:
                found.update(HASH.findall(file.read()))
            with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, "events"), "rb") as file:
                for line in file:
                    found.update(hash_ for outputs in OUTPUTS.findall(line) for hash_ in HASH.findall(outputs))
    return {each.decode() for each in found}


def _no_job_runs(layout: Layout) -> None:
    for folder in newest_first(os.path.join(layout.root, "jobs")):
        job = Job(folder)
        if job.is_starting() or (not job.is_of_another_version() and job.state() == wire.RUNNING):
            raise Refused("busy", f"the job {job.job_id} is running")


@contextlib.contextmanager
def _alone(blobs: str) -> Iterator[None]:
    """Hold the lock of the files. Refused "busy" if another agent uses or receives some (Layout.use)."""
    try:
        with locked(os.path.realpath(blobs), fcntl.LOCK_NB):
            yield
    except BlockingIOError:
        raise Refused("busy", "another edgepress is working with the files there") from None


def _size(path: str) -> int:
    """Return the size of a file, or of all files in a folder, in bytes."""
    if not os.path.isdir(path) or os.path.islink(path):
        return os.lstat(path).st_size
    sizes = [os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names]
    return sum(sizes)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
