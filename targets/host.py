"""Helpers for the machine that edgepress runs on."""

import errno
import hashlib
import os
import stat
from pathlib import Path


def sync(path: Path) -> None:
    """Make a file or a folder durable (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def start_ticks(pid: int) -> int | None:
    """Return when that process was started, in clock ticks since boot (proc(5), field 22 of stat): with the number it identifies
    a process. None: it does not exist, or has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19]) if fields[0] not in "ZX" else None
    except (OSError, IndexError, ValueError):
        return None


def small_file(path: str | Path, limit_bytes: int) -> bytes:
    """Return the content of a user's file. OSError also if it is not a file (a folder, a pipe, a device) or is larger.

    /dev/null counts as an empty file: ssh users write it for "none".
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe without a writer would block
    try:
        kind = os.fstat(descriptor)
        if stat.S_ISDIR(kind.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
        if os.path.samestat(kind, os.stat(os.devnull)):  # noqa: PTH116
            return b""
        if not stat.S_ISREG(kind.st_mode):
            raise OSError(errno.EINVAL, "it is not a file", str(path))
        if kind.st_size > limit_bytes:
            raise OSError(errno.EFBIG, f"it has {kind.st_size} bytes, more than {limit_bytes}", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(limit_bytes)
    finally:
        os.close(descriptor)
