"""The agent's folder on the board, and the only ways in which something gets into it. What has another name is neither used nor removed.

    agents/<sha256>/    the agents (bootstrap.py); whoever runs one holds a shared lock (flock) on its folder
    blobs/<sha256>      models, inputs, wheels, outputs: files, named by their content
    partial/<sha256>    what has come so far of a blob; whoever receives it holds a lock on it
    sites/<sha256>/     wheels, each unpacked in a folder of its own, put on sys.path of a runner
    jobs/<id>/          jobs that run or wait for being fetched (jobs/job.py)
    tmp/                unfinished work; whoever works on an entry holds a lock on it
    tuned.json          what was there before the board was tuned (tuning.py)
    lock                held by the job that measures, with its owner inside

A lock dies with its process, so an entry of tmp/ that can be locked is garbage. Entries are made and collected under the
lock of tmp/ itself; otherwise one agent could collect what another has made and not yet locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sys
import time

from device_agent.channel import Refused
from device_agent.record import JOB_ID, SHA256, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, Iterator, List

AGENT = os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
)  # the folder of the one that runs here
CHUNK_BYTES = 1 << 20
MARGIN_BYTES = 4 << 20  # stays free: a full disk stops more than us (logs, logins)
OURS = {
    "agents": SHA256, "blobs": SHA256, "jobs": JOB_ID, "partial": SHA256, "sites": SHA256,
    "tmp": re.compile("(?:agent|boot|job|put)-.*"),  # put: of older versions
}  # fmt: skip
FOLDERS = tuple(OURS)
KEPT_AGENTS = 3  # hosts of different versions take turns on a board; an agent unpacks to some hundred kB
KEPT_PARTIALS = 8
PARTIAL_S = 24 * 3600  # an upload that nobody has gone on with for a day
KEPT_NS = 14 * 24 * 3600 * 10**9  # blobs and sites that nobody has used for two weeks go by themselves
KEPT_BYTES = 512 << 20  # and beyond so much of blobs those that were used longest ago
LEAST_NS = 3600 * 10**9  # but none that was used within the last hour


class Stored(Record):
    path: str
    kind: str  # blobs, sites
    used_ns: int  # by the board's clock, when somebody last asked for it, or put it there
    size_bytes: int  # of a blob; 0 of a site, whose thousand files nobody counts for this


class Place:
    def __init__(self, root: str) -> None:
        self.root = root
        self._used = -1
        for name in FOLDERS:
            os.makedirs(os.path.join(root, name), mode=0o700, exist_ok=True)

    def blob(self, sha256: str) -> str:
        return os.path.join(self.root, "blobs", checked(sha256))

    def partial(self, sha256: str) -> str:
        return os.path.join(self.root, "partial", checked(sha256))

    def site(self, sha256: str) -> str:
        return os.path.join(self.root, "sites", checked(sha256))

    def job(self, job_id: str) -> str:
        if not JOB_ID.fullmatch(job_id):
            raise Refused("bad_request", f"not the number of a job: {job_id[:80]!r}")
        return os.path.join(self.root, "jobs", job_id)

    @property
    def lock(self) -> str:
        return os.path.join(self.root, "lock")

    @property
    def tmp(self) -> str:
        return os.path.join(self.root, "tmp")

    def use(self) -> None:
        """Blobs and sites are in use for as long as this process lives: whoever cleans up (cleaning.py) leaves them alone."""
        if self._used < 0:
            self._used = hold(os.path.join(self.root, "blobs"))

    def is_out_of_inodes(self) -> bool:
        """Whether there is no room for one more file, whatever its size. Some file systems do not count them."""
        room = os.statvfs(self.root)
        return bool(room.f_files) and not room.f_favail

    @contextlib.contextmanager
    def workspace(self) -> Iterator[str]:
        """A folder in tmp/ that is gone afterwards: here, or, after a kill -9, by collect() of the next agent."""
        import tempfile  # 4 ms, which the first answer need not wait for

        with locked(self.tmp):
            folder = tempfile.mkdtemp(prefix="agent-", dir=self.tmp)
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            _remove(folder)
            os.close(descriptor)

    def collect(self, agent: str) -> None:
        """Remove what dead processes have left in tmp/, uploads that nobody goes on with, and agents that nobody runs.

        `agent` is the folder of the one that runs here.
        """
        with locked(self.tmp):
            self._remove_unlocked(newest_first(self.tmp))
        partials = newest_first(os.path.join(self.root, "partial"))
        stale = [path for path in partials if abs(time.time() - os.stat(path).st_mtime) > PARTIAL_S]
        self._remove_unlocked({*stale, *partials[KEPT_PARTIALS:]})
        os.utime(agent)  # the order in which agents were used last
        agents = os.path.join(self.root, "agents")
        self._remove_unlocked(path for path in newest_first(agents)[KEPT_AGENTS:] if path != agent)

    def beyond_bounds(self) -> List[Stored]:
        """Of blobs and sites, what is there beyond the bounds that hold by themselves."""
        return beyond(self.stored())

    def stored(self) -> List[Stored]:
        """All blobs and sites."""
        found = []
        for kind in ("blobs", "sites"):
            with os.scandir(os.path.join(self.root, kind)) as entries:
                for entry in filter(is_ours, entries):
                    with contextlib.suppress(FileNotFoundError):
                        told, is_blob = entry.stat(follow_symlinks=False), kind == "blobs"
                        used_ns = max(told.st_mtime_ns, told.st_atime_ns) if is_blob else told.st_mtime_ns
                        found.append(Stored(entry.path, kind, used_ns, told.st_size if is_blob else 0))
        return found

    @staticmethod
    def _remove_unlocked(paths: "Iterable[str]") -> None:
        for path in paths:
            try:
                with locked(path, fcntl.LOCK_NB):
                    _remove(path)
            except (BlockingIOError, FileNotFoundError):
                continue  # its owner lives, or another agent was quicker
            except OSError as error:  # foreign, or a link to nowhere: it does not hinder
                print(f"edgepress: can not collect {path}: {error}", file=sys.stderr)

    def require_room(self, size_bytes: int) -> None:
        """Refused "no_space" unless `size_bytes` and a margin are free; "no_inodes" where no file can be made."""
        if self.is_out_of_inodes():
            raise Refused("no_inodes", f"{self.root} has room for bytes, but for no more files", "ENOSPC")
        free = free_bytes(self.root)
        if free < size_bytes + MARGIN_BYTES:
            message = f"{self.root} has {free} bytes free, {size_bytes} + {MARGIN_BYTES} are needed"
            raise Refused("no_space", message, "ENOSPC")


def _remove(path: str) -> None:
    import shutil

    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def checked(sha256: str) -> str:
    """The text itself, if it can be nothing but a hash: it becomes a file name."""
    if not SHA256.fullmatch(sha256):
        raise Refused("bad_request", f"not a sha256: {sha256[:80]!r}")
    return sha256


def touch(path: str) -> None:
    """Note that it is used. The time of a blob's last change stays: by that a job sees that nobody wrote to it (files/verified.py); the
    time of reading of a folder does not tell, as looking into it changes it.
    """
    with contextlib.suppress(OSError):
        os.utime(path, ns=(time.time_ns(), time.time_ns() if os.path.isdir(path) else os.stat(path).st_mtime_ns))


def beyond(
    stored: List[Stored], unused_ns: int = KEPT_NS, keep_bytes: int = KEPT_BYTES, least_ns: int = LEAST_NS
) -> List[Stored]:
    """What nobody has used for `unused_ns`, and beyond `keep_bytes` what was used longest ago; never within `least_ns`."""
    found, now_ns, left = [], time.time_ns(), keep_bytes
    for each in sorted(stored, key=lambda each: -each.used_ns):
        age_ns = abs(now_ns - each.used_ns)  # in the future by a clock that was set back since
        left -= each.size_bytes
        if age_ns >= least_ns and (age_ns >= unused_ns or (left < 0 and each.size_bytes)):
            found.append(each)
            left += each.size_bytes
    return found


def is_ours(entry: "os.DirEntry[str]") -> bool:
    """Whether edgepress has put it into its folder: `root` may be a folder that has a tmp/ of its own, or one may be a disk's root."""
    return OURS[os.path.basename(os.path.dirname(entry.path))].fullmatch(entry.name) is not None


def newest_first(folder: str) -> List[str]:
    """What is ours in one of FOLDERS, by the time of its last change."""
    entries = []
    with os.scandir(folder) as found:
        for entry in filter(is_ours, found):
            with contextlib.suppress(FileNotFoundError):
                entries.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path))
    return [path for _, path in sorted(entries, reverse=True)]


def free_bytes(path: str) -> int:
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize


def sha256_of(path: str, meanwhile: Callable[[], None] = lambda: None) -> str:
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(chunk)
            meanwhile()
    return digest.hexdigest()


def is_intact(path: str, meanwhile: Callable[[], None] = lambda: None) -> bool:
    """Whether the blob still has the content of its name. A damaged one is removed: the host will find it missing and send
    it again. `meanwhile` is called for each MiB: an SD card reads 20 in a second. FileNotFoundError if it is not there.
    """
    if sha256_of(path, meanwhile) == os.path.basename(path):
        return True
    os.unlink(path)
    return False


def sync(path: str) -> None:
    """Make a file or a folder durable (fsync). Without it an acknowledged rename was lost at each power cut (measured on ext4)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def commit(temporary: str, final: str) -> None:
    """Give a finished file its final name, so that it is there after a power cut, whole, or not at all."""
    sync(temporary)
    os.rename(temporary, final)
    sync(os.path.dirname(final))


def write_durably(path: str, data: bytes) -> None:
    """A small file in a folder that is ours: whole or not there."""
    temporary = path + ".new"
    with open(temporary, "wb") as file:
        file.write(data)
    commit(temporary, path)


@contextlib.contextmanager
def locked(path: str, flags: int = 0) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(descriptor)


def hold(folder: str) -> int:
    """A shared lock on the folder of a running agent, for as long as the process lives: it is not collected meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor
