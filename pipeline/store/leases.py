"""Several processes in one state folder: what one of them needs, no other process removes.

Each process registers what it needs in leases/<process> before looking it up. A process that deletes files locks store/ exclusively
and skips whatever another live process registered or a stored answer or run refers to.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.store.files import locked

ARTIFACT = re.compile(rb'"sha256":"([0-9a-f]{64})"')  # as it stands in an answer or a run


def own_folder(root: Path) -> tuple[Path, int]:
    """Return a folder in tmp/ that this process holds; folders that nobody holds were left by a kill -9 and go."""
    with locked(root / "tmp"):
        for path in (root / "tmp").iterdir():
            with contextlib.suppress(BlockingIOError, NotADirectoryError), locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                forget(root, path)
        folder = Path(tempfile.mkdtemp(dir=root / "tmp"))
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    return folder, held


def forget(root: Path, folder: Path) -> None:
    """A process has ended."""
    shutil.rmtree(folder, ignore_errors=True)
    (root / "leases" / folder.name).unlink(missing_ok=True)


class Lease:
    """What one process and its children need of the state folder."""

    def __init__(self, root: Path, folder: Path) -> None:
        """`folder`: what the process has in tmp/."""
        self.root, self.folder = root, folder
        self._file = root / "leases" / folder.name
        self.named: set[str] = set()

    def take(self, name: str) -> None:
        """Register `name`. From now on it either was removed already, or stays: then look for it."""
        if name in self.named or not self._lives():
            return
        with locked(self.root / "store", fcntl.LOCK_SH), self._file.open("ab", buffering=0) as file:
            file.write(f"{name}\n".encode())
        self.named.add(name)

    def _lives(self) -> bool:
        """Nothing is promised to a store that was closed, nor to a child without a parent's folder."""
        return self.folder.parent == self.root / "tmp" and self.folder.exists()

    @contextlib.contextmanager
    def alone(self) -> Iterator[set[str]]:
        """Keep others from taking a lease inside the context; yield what other processes have."""
        with locked(self.root / "store"):
            found: set[str] = set()
            for other in (self.root / "leases").iterdir():
                if other != self._file:
                    with contextlib.suppress(FileNotFoundError):
                        found.update(other.read_text(errors="replace").splitlines())
            yield found


def named_in(path: Path) -> set[str]:
    """Return every artifact that an answer or a run names; also where the file is damaged."""
    with contextlib.suppress(OSError):
        return {f"store/{digest.decode()}" for digest in ARTIFACT.findall(path.read_bytes())}
    return set()
