"""The agent's folder on the board, and the only ways in which something gets into it.

    agents/<sha256>/    the agents (bootstrap.py)
    blobs/<sha256>      models, inputs, wheels, outputs: files, named by their content
    sites/<sha256>/     wheels, each unpacked in a folder of its own, put on sys.path of a runner
    tmp/                unfinished work; whoever works on an entry holds a lock (flock) on it
    lock                held, with a process number inside, by the agent that measures

A lock dies with its process, so an entry of tmp/ that can be locked is garbage. Entries are made and collected under the
lock of tmp/ itself; otherwise one agent could collect what another has made and not yet locked.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from typing import Iterator

from device_agent.channel import Refused
from device_agent.wire import SHA256

CHUNK_BYTES = 1 << 20
MARGIN_BYTES = 4 << 20  # stays free: a full disk stops more than us (logs, logins)


class Place:
    def __init__(self, root: str) -> None:
        self.root = root
        for name in ("blobs", "sites", "tmp"):
            os.makedirs(os.path.join(root, name), mode=0o700, exist_ok=True)

    def blob(self, sha256: str) -> str:
        return os.path.join(self.root, "blobs", checked(sha256))

    def site(self, sha256: str) -> str:
        return os.path.join(self.root, "sites", checked(sha256))

    @property
    def tmp(self) -> str:
        return os.path.join(self.root, "tmp")

    @contextlib.contextmanager
    def workspace(self) -> Iterator[str]:
        """A folder in tmp/ that is gone afterwards: here, or, after a kill -9, by collect() of the next agent."""
        with locked(self.tmp):
            folder = tempfile.mkdtemp(prefix="agent-", dir=self.tmp)
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)
            os.close(descriptor)

    @contextlib.contextmanager
    def only_sender(self, sha256: str) -> Iterator[None]:
        """One host at a time sends a blob; Refused "busy" for the others. A courtesy: each has its own temporary file."""
        path = os.path.join(self.tmp, "put-" + checked(sha256))
        with locked(self.tmp):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise Refused("busy", f"another host is sending {sha256[:12]}") from None
        try:
            yield
        finally:
            os.unlink(path)
            os.close(descriptor)

    def collect(self) -> None:
        """Remove what dead processes have left in tmp/."""
        with locked(self.tmp):
            for name in os.listdir(self.tmp):
                path = os.path.join(self.tmp, name)
                try:
                    with locked(path, fcntl.LOCK_NB):
                        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
                except BlockingIOError:
                    continue  # its owner lives
                except OSError as error:  # foreign, or a link to nowhere: it does not hinder
                    print(f"edgepress: can not collect {path}: {error}", file=sys.stderr)

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Only one agent measures on a board at a time; Refused "busy" names the other."""
        with open(os.path.join(self.root, "lock"), "a+", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise Refused("busy", f"process {file.read().strip()} is measuring on this board") from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def require_room(self, size_bytes: int) -> None:
        """Refused "no_space" unless `size_bytes` and a margin are free."""
        free = free_bytes(self.root)
        if free < size_bytes + MARGIN_BYTES:
            raise Refused("no_space", f"{self.root} has {free} bytes free, {size_bytes} + {MARGIN_BYTES} are needed")


def checked(sha256: str) -> str:
    """The text itself, if it can be nothing but a hash: it becomes a file name."""
    if not SHA256.fullmatch(sha256):
        raise Refused("bad_request", f"not a sha256: {sha256[:80]!r}")
    return sha256


def free_bytes(path: str) -> int:
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize


def sha256_of(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()


def is_intact(path: str) -> bool:
    """Whether the blob still has the content of its name. A damaged one is removed: the host will find it missing and send
    it again. FileNotFoundError if it is not there.
    """
    if sha256_of(path) == os.path.basename(path):
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


@contextlib.contextmanager
def locked(path: str, flags: int = 0) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(descriptor)
