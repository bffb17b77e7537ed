"""Room on the board: what nobody uses any more is removed, by itself within bounds, and more of it when a person asks.

In use are: blobs and sites that a job names, running or not fetched, in whatever version's words; all of them while an agent
lives that was asked for some (place.use); and what was used of late. What was used last is told by the times of a file, as good
as the board's clock is; a clock that was set forward costs no more than sending something again.
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
from device_agent.files.layout import FOLDERS, Place, Stored, is_ours, locked, newest_first
from device_agent.jobs.job import Job

HASH = re.compile(b"[0-9a-f]{64}")
OUTPUTS = re.compile(b'"outputs_sha256":"([0-9a-f]{64})"')
STARTED_NS = 60 * 10**9  # before a job is known to run it was being started
OLD_RESULT_NS = 3600 * 10**9  # the host takes no older ones (targets/session.py)
FILES = ("lock", "tuned.json", "tuned.json.new", "tune.log", "jetson_clocks.conf")  # of the root, beside FOLDERS


class Removed(NamedTuple):
    """What was, or would be, removed: how many of each, and their bytes."""

    counts: Dict[str, int]
    size_bytes: int


def bound(place: Place) -> None:
    """At each start of an agent: the bounds that hold by themselves. Not where another agent works with the files."""
    with contextlib.suppress(Refused):
        _stored(place, place.beyond_bounds, dry_run=False)


def clean(place: Place, request: wire.Clean) -> wire.Cleaned:
    """Refused: busy (another agent works with the files, so something may be on its way)."""
    jobs, gone, least_ns = _jobs(place, dry_run=request.dry_run)
    unused_ns = max(request.unused_ns, least_ns)
    stored = _stored(
        place, lambda: _chosen(place, unused_ns, request.keep_bytes), dry_run=request.dry_run, without=gone
    )
    agents = _agents(place, dry_run=request.dry_run)
    size = stored.size_bytes + jobs.size_bytes + agents.size_bytes
    left = sum(_size(os.path.realpath(os.path.join(place.root, name))) for name in FOLDERS)
    return wire.Cleaned(
        stored.counts["blobs"], stored.counts["sites"], agents.counts["agents"], jobs.counts["jobs"], size,
        max(0, left - size) if request.dry_run else left,
    )  # fmt: skip


def uninstall(place: Place, request: wire.Uninstall) -> wire.Uninstalled:
    """Refused: busy (a job runs, or something is being sent). What was tuned is put back first."""
    with _alone(os.path.join(place.root, "blobs")):  # to the end: nobody begins to send something into what is going
        _no_job_runs(place)
        if not request.dry_run and os.path.exists(os.path.join(place.root, "tuned.json")):
            from device_agent.tuning import tune

            tune(place, wire.Tune(0, False))
        return _uninstalled(place, dry_run=request.dry_run)


def _uninstalled(place: Place, *, dry_run: bool) -> wire.Uninstalled:
    size, kept = 0, sorted(set(os.listdir(place.root)).difference(FOLDERS, FILES))
    for name in FILES:
        with contextlib.suppress(FileNotFoundError):
            path = os.path.join(place.root, name)
            size += os.lstat(path).st_size
            if not dry_run:
                os.unlink(path)
    for name in reversed(FOLDERS):  # agents at last: by that folder a root is known to be one (bootstrap.py)
        path, foreign = os.path.join(place.root, name), []
        with os.scandir(path) as entries:
            for entry in entries:
                if not is_ours(entry):
                    foreign.append(os.path.join(name, entry.name))
                else:
                    size += _size(entry.path)
                    if not dry_run:
                        _remove(entry.path)
        if not foreign and not dry_run:
            os.unlink(path) if os.path.islink(path) else os.rmdir(path)  # the folder on another disk is not ours
        kept += sorted(foreign)
    if not kept and not dry_run:
        os.rmdir(place.root)
    return wire.Uninstalled(place.root, size, tuple(kept[:100]))


# --- what can go


def _stored(
    place: Place, choose: Callable[[], List[Stored]], *, dry_run: bool, without: Tuple[str, ...] = ()
) -> Removed:
    """Of the blobs and sites that `choose` names those that no job needs. `without`: jobs that do not count."""
    count, size = {"blobs": 0, "sites": 0}, 0
    with _alone(os.path.join(place.root, "blobs")):
        candidates = choose()
        needed = _needed(place, without) if candidates else set()  # what jobs have said may be long
        for each in candidates:
            if os.path.basename(each.path) not in needed:
                count[each.kind] += 1
                size += _size(each.path)
                if not dry_run:
                    _remove(each.path)
    return Removed(count, size)


def _chosen(place: Place, unused_ns: int, keep_bytes: int) -> List[Stored]:
    """What nobody has used for so long, but for `keep_bytes` of all that is there, what was used last."""
    found, now_ns, left = [], time.time_ns(), keep_bytes
    for each in sorted(place.stored(), key=lambda each: -each.used_ns):
        left -= _size(each.path)
        if abs(now_ns - each.used_ns) >= unused_ns and (left < 0 or not keep_bytes):
            found.append(each)
    return found


def _jobs(place: Place, *, dry_run: bool) -> "Tuple[Removed, Tuple[str, ...], int]":
    """Those whose results nobody takes any more, and their folders; and for how long one has been running, which may have made
    files that it has not told of yet.
    """
    gone, size, running_ns = [], 0, 0
    for folder in newest_first(os.path.join(place.root, "jobs")):
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


def _agents(place: Place, *, dry_run: bool) -> Removed:
    """All that nobody runs; whoever runs one, as we do, holds a lock on it."""
    count, size = 0, 0
    for path in newest_first(os.path.join(place.root, "agents")):
        with contextlib.suppress(OSError), locked(path, fcntl.LOCK_NB):
            count, size = count + 1, size + _size(path)
            if not dry_run:
                _remove(path)
    return Removed({"agents": count}, size)


def _needed(place: Place, without: "Tuple[str, ...]") -> Set[str]:
    """All hashes that jobs name: what they were asked for, and what they have answered."""
    found: Set[bytes] = set()
    for folder in newest_first(os.path.join(place.root, "jobs")):
        if folder not in without:
            for name, pattern in (("submit", HASH), ("events", OUTPUTS)):
                with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, name), "rb") as file:
                    for line in file:
                        found.update(pattern.findall(line))
    return {each.decode() for each in found}


def _no_job_runs(place: Place) -> None:
    for folder in newest_first(os.path.join(place.root, "jobs")):
        job = Job(folder)
        if job.is_starting() or (not job.is_of_another_version() and job.state() == wire.RUNNING):
            raise Refused("busy", f"the job {job.job_id} is running")


@contextlib.contextmanager
def _alone(blobs: str) -> Iterator[None]:
    """Refused "busy", where another agent was asked for files, or is receiving one (place.use)."""
    try:
        with locked(os.path.realpath(blobs), fcntl.LOCK_NB):
            yield
    except BlockingIOError:
        raise Refused("busy", "another edgepress is working with the files there") from None


def _size(path: str) -> int:
    """What a file or a folder takes, by the lengths of its files."""
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
