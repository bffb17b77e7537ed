"""The blobs of a job. Each is opened once and read whole for its hash; every launch is given this very file, whatever becomes of its
name meanwhile. Who writes into the file itself is found out by its size and times, so that it is only read again where they changed.
"""

import contextlib
import os
from typing import Dict, NamedTuple, Optional, Tuple

from device_agent.place import is_intact, sha256_of


class _Times(NamedTuple):
    size_bytes: int
    written_ns: int  # st_mtime_ns: as coarse as the file system keeps it, FAT to 2 s
    changed_ns: int  # st_ctime_ns: it tells of a write also where the time of writing was set back


class Contents:
    def __init__(self) -> None:
        self._known: Dict[
            str, Tuple[int, _Times, str]
        ] = {}  # path -> descriptor, and the hash that it had at these times

    def open(self, path: str) -> None:
        """Not, where there is none. A blob that has another content than that of its name is removed (place.is_intact)."""
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY)
            self._known[path] = descriptor, _times(descriptor), sha256_of(file_of(descriptor))
            self.is_sound(path)

    def descriptor(self, path: str) -> int:
        return self._known[path][0]

    def is_sound(self, path: str) -> Optional[bool]:
        """Whether the blob has the content of its name now. None: it was not there."""
        if path not in self._known:
            return None
        self.found(path)
        if self._known[path][2] == os.path.basename(path):
            return True
        with contextlib.suppress(FileNotFoundError):  # another file may have the name now
            is_intact(path)
        return False

    def found(self, path: str) -> str:
        """The hash of what a launch has read that has just ended. "": the file was written to since the last look and holds again
        what it did, so nobody knows.
        """
        descriptor, before, known = self._known[path]
        now = _times(descriptor)
        if now == before:
            return known
        sha256 = sha256_of(file_of(descriptor))
        self._known[path] = descriptor, now, sha256
        return "" if sha256 == known and now.written_ns != before.written_ns else sha256


def file_of(descriptor: int) -> str:
    """The path by which a process that has the descriptor opens the same file once more, from its beginning (proc(5))."""
    return f"/proc/self/fd/{descriptor}"


def _times(descriptor: int) -> _Times:
    told = os.fstat(descriptor)
    return _Times(told.st_size, told.st_mtime_ns, told.st_ctime_ns)
