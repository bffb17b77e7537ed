"""Writing that a power cut does not break, and seals: a digest beside content, so that one flipped bit is seen."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

UMASK = os.umask(0o077)  # it can only be read by setting it
os.umask(UMASK)
DIGEST_BYTES = hashlib.sha256().digest_size


def write_atomically(path: Path, data: bytes, tmp: Path | None = None, *, prefix: str = "tmp") -> None:
    """Write `data` so that `path` holds either its old content or all of the new, also after a power cut."""
    descriptor, name = tempfile.mkstemp(dir=tmp or path.parent, prefix=prefix)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o666 & ~UMASK)  # mkstemp's 0600 would keep a page from being shared
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
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
    """Hold a file or a folder; free again when this process ends, however it ends. `kind`: as for fcntl.flock."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seal: str
    content: msgspec.Raw


def sealed(content: bytes) -> bytes:
    """JSON with its digest beside it, which is JSON again."""
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
    """Bytes of any kind, with their digest behind them."""
    return content + hashlib.sha256(content).digest()


def without_digest(data: bytes) -> bytes | None:
    """The content; None if it is not what the digest was taken of."""
    content, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None
