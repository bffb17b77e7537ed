"""The agent's folder on the board, and the only ways to put something into it. Files with other names are neither used nor removed.

    agents/<sha256>/    agents (bootstrap.py); a running one holds a shared lock (flock) on its folder
    blobs/<sha256>      models, inputs, wheels, outputs: files, named by their content
    partial/<sha256>    what has arrived of a blob so far; its receiver holds a lock on it
    sites/<sha256>/     wheels, each unpacked into its own folder for sys.path of a runner
    jobs/<id>/          jobs that run or wait to be fetched (jobs/job.py)
    tmp/                unfinished work; the process that works on an entry holds a lock on it
    tuned.json          the board's settings before it was tuned (tuning.py)
    lock                held by the job that measures, with its owner inside

A lock dies with its process, so an entry of tmp/ that can be locked is garbage. Entries are made and removed under the lock of
tmp/ itself; otherwise one agent could remove what another has made and not yet locked.
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

# The folder of the agent that runs here.
AGENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHUNK_BYTES = 1 << 20
MARGIN_BYTES = 4 << 20  # stays free: a full disk stops more than us (logs, logins)
OURS = {
    "agents": SHA256, "blobs": SHA256, "jobs": JOB_ID, "partial": SHA256, "sites": SHA256,
    "tmp": re.compile("(?:agent|boot|job|put)-.*"),  # put: from older versions
}  # fmt: skip
FOLDERS = tuple(OURS)
KEPT_AGENTS = 3  # hosts of different versions may share a board; an agent unpacks to some hundred kB
KEPT_PARTIALS = 8
PARTIAL_S = 24 * 3600  # an upload that was not continued for a day
KEPT_NS = 14 * 24 * 3600 * 10**9  # blobs and sites that were unused for two weeks are removed
KEPT_BYTES = 512 << 20  # and beyond this size of blobs, the least recently used ones
LEAST_NS = 3600 * 10**9  # but never one that was used within the last hour


class Entry(Record):
    path: str
    kind: str  # blobs, sites
    used_ns: int  # by the board's clock: when it was last requested, or put there
    size_bytes: int  # of a blob; 0 for a site, whose thousand files are not counted here


class Layout:
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
        """Mark blobs and sites as in use for as long as this process lives: cleaning.py leaves them alone."""
        if self._used < 0:
            self._used = hold(os.path.join(self.root, "blobs"))

    def is_out_of_inodes(self) -> bool:
        """Whether no more files can be made, whatever their size. Some file systems do not count inodes."""
        room = os.statvfs(self.root)
        return bool(room.f_files) and not room.f_favail

    @contextlib.contextmanager
    def workspace(self) -> Iterator[str]:
        """A folder in tmp/ that is removed afterwards: here, or, after a kill -9, by collect() of the next agent."""
        import tempfile  # 4 ms that the first answer need not wait for

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
        """Remove what dead processes left in tmp/, abandoned uploads, and agents that are not running.

        `agent` is the folder of the running one.
        """
        with locked(self.tmp):
            self._remove_unlocked(newest_first(self.tmp))
        partials = newest_first(os.path.join(self.root, "partial"))
        stale = [path for path in partials if abs(time.time() - os.stat(path).st_mtime) > PARTIAL_S]
        self._remove_unlocked({*stale, *partials[KEPT_PARTIALS:]})
        os.utime(agent)  # records when agents were last used
        agents = os.path.join(self.root, "agents")
        self._remove_unlocked(path for path in newest_first(agents)[KEPT_AGENTS:] if path != agent)

    def beyond_bounds(self) -> List[Entry]:
        """Return the blobs and sites beyond the automatic bounds."""
        return beyond(self.entries())

    def entries(self) -> List[Entry]:
        """Return all blobs and sites."""
        found = []
        for kind in ("blobs", "sites"):
            with os.scandir(os.path.join(self.root, kind)) as entries:
                for entry in filter(is_ours, entries):
                    with contextlib.suppress(FileNotFoundError):
                        status, is_blob = entry.stat(follow_symlinks=False), kind == "blobs"
                        used_ns = max(status.st_mtime_ns, status.st_atime_ns) if is_blob else status.st_mtime_ns
                        found.append(Entry(entry.path, kind, used_ns, status.st_size if is_blob else 0))
        return found

    @staticmethod
    def _remove_unlocked(paths: "Iterable[str]") -> None:
        for path in paths:
            try:
                with locked(path, fcntl.LOCK_NB):
                    _remove(path)
            except (BlockingIOError, FileNotFoundError):
                continue  # its owner lives, or another agent was faster
            except OSError as error:  # foreign, or a dangling link: harmless
                print(f"edgepress: cannot remove {path}: {error}", file=sys.stderr)

    def require_room(self, size_bytes: int) -> None:
        """Refused "no_space" unless `size_bytes` and a margin are free; "no_inodes" if no file can be made."""
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
    """Return the text if it is a hash: it becomes a file name. Refused otherwise."""
    if not SHA256.fullmatch(sha256):
        raise Refused("bad_request", f"not a sha256: {sha256[:80]!r}")
    return sha256


def touch(path: str) -> None:
    """Record a use. A blob's modification time stays, since by it a job sees that nobody wrote to it (files/verified.py); a folder's
    access time is useless, since listing it changes it.
    """
    with contextlib.suppress(OSError):
        os.utime(path, ns=(time.time_ns(), time.time_ns() if os.path.isdir(path) else os.stat(path).st_mtime_ns))


def beyond(
    entries: List[Entry], unused_ns: int = KEPT_NS, keep_bytes: int = KEPT_BYTES, least_ns: int = LEAST_NS
) -> List[Entry]:
    """Return what was unused for `unused_ns`, and the least recently used beyond `keep_bytes`; nothing used within `least_ns`."""
    found, now_ns, left = [], time.time_ns(), keep_bytes
    for each in sorted(entries, key=lambda each: -each.used_ns):
        age_ns = abs(now_ns - each.used_ns)  # in the future if the clock was set back since
        left -= each.size_bytes
        if age_ns >= least_ns and (age_ns >= unused_ns or (left < 0 and each.size_bytes)):
            found.append(each)
            left += each.size_bytes
    return found


def is_ours(entry: "os.DirEntry[str]") -> bool:
    """Whether edgepress made it: `root` may have another tmp/ of its own, and a folder may be the root of a disk."""
    return OURS[os.path.basename(os.path.dirname(entry.path))].fullmatch(entry.name) is not None


def newest_first(folder: str) -> List[str]:
    """Return our entries in one of FOLDERS, most recently changed first."""
    entries = []
    with os.scandir(folder) as found:
        for entry in filter(is_ours, found):
            with contextlib.suppress(FileNotFoundError):
                entries.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path))
    return [path for _, path in sorted(entries, reverse=True)]


def free_bytes(path: str) -> int:
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize


def sha256_of(path: str, each_chunk: Callable[[], None] = lambda: None) -> str:
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(chunk)
            each_chunk()
    return digest.hexdigest()


def is_intact(path: str, each_chunk: Callable[[], None] = lambda: None) -> bool:
    """Whether the blob's content has the hash of its name. A damaged one is removed: the host will find it missing and send
    it again. `each_chunk` is called for each MiB: an SD card reads 20 per second. FileNotFoundError if it is missing.
    """
    if sha256_of(path, each_chunk) == os.path.basename(path):
        return True
    os.unlink(path)
    return False


def sync(path: str) -> None:
    """Make a file or a folder durable (fsync). Without it an acknowledged rename was lost at each power cut (measured, ext4)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def commit(temporary: str, final: str) -> None:
    """Give a finished file its final name, so that after a power cut it is there whole or not at all."""
    sync(temporary)
    os.rename(temporary, final)
    sync(os.path.dirname(final))


def write_durably(path: str, data: bytes) -> None:
    """Write a small file atomically and durably."""
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
    """Take a shared lock on a folder for as long as the process lives, so that it is not removed (agents/) or cleaned (blobs/)."""
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor
