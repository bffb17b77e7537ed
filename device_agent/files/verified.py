"""The blobs of a job. Each is opened once and hashed as a whole, and every launch gets this very file, even if its name is reused.
A write into the file itself shows in its size and times, so that it is hashed again only if they changed.
"""

import contextlib
import os
from typing import Dict, NamedTuple, Optional, Tuple

from device_agent.files.layout import Layout, is_intact, sha256_of


class _Stamp(NamedTuple):
    size_bytes: int
    written_ns: int  # st_mtime_ns: as coarse as the file system keeps it (FAT: 2 s)
    changed_ns: int  # st_ctime_ns: shows a write even if the modification time was set back


class VerifiedBlobs:
    """The opened blobs, by the hash that they should have."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._known: Dict[str, Tuple[int, _Stamp, str]] = {}  # descriptor, and its hash at these times

    def open(self, sha256: str) -> None:
        """Open and hash a blob, if it exists. A damaged one is removed (layout.is_intact)."""
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(self.layout.blob(sha256), os.O_RDONLY)
            self._known[sha256] = descriptor, _stamp(descriptor), sha256_of(file_of(descriptor))
            self.is_sound(sha256)

    def descriptor(self, sha256: str) -> int:
        return self._known[sha256][0]

    def is_sound(self, sha256: str) -> Optional[bool]:
        """Whether the blob has the right content now. None: it was missing."""
        if sha256 not in self._known:
            return None
        self.found(sha256)
        if self._known[sha256][2] == sha256:
            return True
        with contextlib.suppress(FileNotFoundError):  # another file may have the name now
            is_intact(self.layout.blob(sha256))
        return False

    def found(self, sha256: str) -> str:
        """Return the hash of what the launch that has just ended read. "": unknown, since the file was changed and changed back
        since the last check.
        """
        descriptor, before, known = self._known[sha256]
        now = _stamp(descriptor)
        if now == before:
            return known
        holds = sha256_of(file_of(descriptor))
        self._known[sha256] = descriptor, now, holds
        return "" if holds == known and now.written_ns != before.written_ns else holds


def file_of(descriptor: int) -> str:
    """Return the path by which a process that has the descriptor opens the same file again, from its start (proc(5))."""
    return f"/proc/self/fd/{descriptor}"


def _stamp(descriptor: int) -> _Stamp:
    status = os.fstat(descriptor)
    return _Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)
