"""Writing that a power cut does not break, and seals: a digest stored with the content, so that one flipped bit is seen."""

import contextlib
import fcntl
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from pipeline.errors import StageError
from pipeline.safe_text import clean

SILENT_S, LONGEST_WAIT_S = 10.0, 120.0  # a lock is held for as long as it takes to write or remove some files
LOOK_S = 0.02
UMASK = os.umask(0o077)  # it can only be read by setting it
os.umask(UMASK)
DIGEST_BYTES = hashlib.sha256().digest_size


def write_atomically(path: Path, data: bytes, tmp: Path | None = None, *, prefix: str = "tmp") -> None:
    """Write `data` so that `path` holds either its old content or all of the new, also after a power cut."""
    write_parts(path, (data,), tmp, prefix=prefix)


def write_parts(
    path: Path, parts: Iterable[bytes | memoryview], tmp: Path | None = None, *, prefix: str = "tmp"
) -> None:
    """Write content as write_atomically does, without putting its parts together in memory."""
    try:
        _write_atomically(path, parts, tmp, prefix)
    except OSError as error:
        if error.filename is None:  # of write and fsync: the error of a full disk does not name the file
            error.filename = str(path)
        raise


def _write_atomically(path: Path, parts: Iterable[bytes | memoryview], tmp: Path | None, prefix: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=tmp or path.parent, prefix=prefix)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o666 & ~UMASK)  # mkstemp's 0600 would keep a page from being shared
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync(path.parent)


def move_atomically(finished: Path, path: Path) -> None:
    """Move a file of the same disk to `path`, with the promise of write_atomically."""
    descriptor = os.open(finished, os.O_RDONLY)
    try:
        os.fchmod(descriptor, 0o666 & ~UMASK)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    finished.replace(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a file or a folder; free again when this process ends, however it ends. `kind`: as for fcntl.flock. StageError where
    another process does not let go of it, such as one that was stopped with Ctrl-Z.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        _lock(descriptor, kind, path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int, path: Path) -> None:
    began, said = time.monotonic(), False
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if kind & fcntl.LOCK_NB:
                raise
        else:
            return
        waited_s = time.monotonic() - began
        if waited_s > LONGEST_WAIT_S:
            raise StageError(
                f"another process has held {path} for {waited_s:.0f} s",
                hint=f"`fuser -v {path}` names it. If it was stopped or hangs, end it; then run again.",
            )
        if waited_s > SILENT_S and not said:
            said = True
            with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody listens
                sys.stderr.write(clean(f"still waiting for another edgepress to let go of {path}") + "\n")
                sys.stderr.flush()
        time.sleep(LOOK_S)


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seal: str
    content: msgspec.Raw


def sealed(content: bytes) -> bytes:
    """Return JSON that holds the content and its digest."""
    return msgspec.json.encode(_Sealed(hashlib.sha256(content).hexdigest(), msgspec.Raw(content)))


def unsealed(data: bytes) -> bytes | None:
    """The JSON that was sealed; None if one bit of it is another than when it was written."""
    try:
        found = msgspec.json.decode(data, type=_Sealed)
    except ValueError:  # also of msgspec
        return None
    content = bytes(found.content)
    return content if hashlib.sha256(content).hexdigest() == found.seal else None


def with_digest(content: bytes) -> bytes:
    """Return bytes of any kind, followed by their digest."""
    return content + hashlib.sha256(content).digest()


def without_digest(data: bytes) -> bytes | None:
    """Return the content; None if it is not what the digest was taken of."""
    content, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None
