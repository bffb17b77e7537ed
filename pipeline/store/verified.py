"""Is a stored file still what its name says? Hashed once, and again when the file looks touched or after a day.

What was seen of a file when its hash was right is remembered in verified/<sha256>. A record that is lost, damaged or of another
file costs one more hash and nothing else, so it is written without fsync and without a lock.
"""

import hashlib
import os
import tempfile
import time
from pathlib import Path

DAY_NS = 24 * 3600 * 10**9
# A file that was written this shortly before it was hashed may be written again without a change of its time: some
# file systems count in steps of 2 s.
TOO_RECENT_NS = 2 * 10**9
GONE, DAMAGED, INTACT = "gone", "damaged", "intact"

FileState = tuple[int, int, int, int]


def look(path: Path, size_bytes: int, memory: Path, now_ns: int | None = None) -> tuple[str, FileState | None]:
    """GONE, DAMAGED or INTACT, and what was seen of it. `path` is named by its sha256; `memory` is the folder of the records."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    try:
        seen = _seen(path)
        if seen[0] != size_bytes:
            return DAMAGED, seen
        if _remembered(memory / path.name, seen, now_ns):
            return INTACT, seen
        with path.open("rb") as file:
            right = hashlib.file_digest(file, "sha256").hexdigest() == path.name
        if not right:
            return DAMAGED, seen
        if now_ns - max(seen[1:3]) > TOO_RECENT_NS and _seen(path) == seen:
            _remember(memory / path.name, seen, now_ns)
    except FileNotFoundError:
        return GONE, None
    return INTACT, seen


def is_still(path: Path, seen: FileState | None) -> bool:
    """Return whether it is the very file that was looked at."""
    try:
        return _seen(path) == seen
    except FileNotFoundError:
        return False


def _seen(path: Path) -> FileState:
    """Size, times of content and of inode, and inode: a tool that sets the time of the content back cannot set the other."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _remembered(record: Path, seen: FileState, now_ns: int) -> bool:
    try:
        *remembered, at_ns = map(int, record.read_bytes().split())
    except (OSError, ValueError):
        return False
    return tuple(remembered) == seen and 0 <= now_ns - at_ns < DAY_NS


def _remember(record: Path, seen: FileState, now_ns: int) -> None:
    try:
        descriptor, name = tempfile.mkstemp(dir=record.parent, prefix=".")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(" ".join(map(str, (*seen, now_ns))))
            Path(name).replace(record)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError:
        return  # a full or read-only disk: then it is hashed each time
