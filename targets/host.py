"""What several parts of this folder need of the machine that edgepress runs on."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Make a file or a folder durable (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def start_ticks(pid: int) -> int | None:
    """When that process was started, in clock ticks since boot (proc(5), field 22 of stat): with the number it names a process
    for good. None: there is none, or it has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19]) if fields[0] not in "ZX" else None
    except (OSError, IndexError, ValueError):
        return None
