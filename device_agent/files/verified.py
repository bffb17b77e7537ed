"""The blobs of a job. Each is opened once and read whole for its hash; every launch is given this very file, whatever becomes of its
name meanwhile. Who writes into the file itself is found out by its size and times, so that it is only read again where they changed.
"""

import contextlib
import os
from typing import Dict, NamedTuple, Optional, Tuple

from device_agent.files.layout import Place, is_intact, sha256_of


class _Times(NamedTuple):
    size_bytes: int
    written_ns: int  # st_mtime_ns: as coarse as the file system keeps it, FAT to 2 s
    changed_ns: int  # st_ctime_ns: it tells of a write also where the time of writing was set back


class Contents:
    """Blobs are named by the hash that they should have."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._known: Dict[str, Tuple[int, _Times, str]] = {}  # descriptor, and the hash that it had at these times

    def open(self, sha256: str) -> None:
        """Not, where there is none. A blob that has another content is removed (place.is_intact)."""
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(self.place.blob(sha256), os.O_RDONLY)
            self._known[sha256] = descriptor, _times(descriptor), sha256_of(file_of(descriptor))
            self.is_sound(sha256)

    def descriptor(self, sha256: str) -> int:
        return self._known[sha256][0]

    def is_sound(self, sha256: str) -> Optional[bool]:
        """Whether the blob has its content now. None: it was not there."""
        if sha256 not in self._known:
            return None
        self.found(sha256)
        if self._known[sha256][2] == sha256:
            return True
        with contextlib.suppress(FileNotFoundError):  # another file may have the name now
            is_intact(self.place.blob(sha256))
        return False

    def found(self, sha256: str) -> str:
        """The hash of what a launch has read that has just ended. "": the file was written to since the last look and holds again
        what it did, so nobody knows.
        """
        descriptor, before, known = self._known[sha256]
        now = _times(descriptor)
        if now == before:
            return known
        holds = sha256_of(file_of(descriptor))
        self._known[sha256] = descriptor, now, holds
        return "" if holds == known and now.written_ns != before.written_ns else holds


def file_of(descriptor: int) -> str:
    """The path by which a process that has the descriptor opens the same file once more, from its beginning (proc(5))."""
    return f"/proc/self/fd/{descriptor}"


def _times(descriptor: int) -> _Times:
    told = os.fstat(descriptor)
    return _Times(told.st_size, told.st_mtime_ns, told.st_ctime_ns)
