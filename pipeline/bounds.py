"""How much memory work on this machine may take, and how large a file from elsewhere may be when it is unpacked.

A few megabytes can unpack to any size, so sizes are taken from a file's own headers and checked before its content is read.
"""

import os
from pathlib import Path

from pipeline import units
from pipeline.errors import EdgepressError

VARIABLE = "EDGEPRESS_MEMORY_BYTES"  # from a parent to its child: what the plan allows
SHARE = 0.75  # of the machine's memory, where the plan says nothing
COPIES = 4  # of rows or weights at once, while they are read, checked and written again: 2 to 3 were measured
CGROUP = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

MOST_RATIO = 100  # unpacked / packed; DEFLATE reaches 1,032, rows of pictures and sounds 1 to 10
SMALL_BYTES = 256 * 2**20  # up to here a ratio says nothing: a file of zeros is one


def machine_bytes() -> int:
    """Return the memory of this machine, or of the container that this process is in."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in CGROUP:
        try:
            found = min(found, int(Path(name).read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return found


def default_bytes() -> int:
    return int(machine_bytes() * SHARE)


def memory_bytes() -> int:
    """Return the memory this process may take: in a child, what the plan told its parent."""
    told = os.environ.get(VARIABLE, "")
    return int(told) if told.isdecimal() else default_bytes()


def check_unpacked(
    unpacked_bytes: int, packed_bytes: int, what: str, kind: type[EdgepressError], of_bytes: int | None = None
) -> None:
    """Raise `kind` if a file is too large when it is unpacked; `what` names it. `of_bytes`: the memory, if not this process's."""
    memory = of_bytes or memory_bytes()
    most = memory // COPIES
    if unpacked_bytes > most:
        raise kind(
            f"{what} {'unpacks to' if packed_bytes < unpacked_bytes else 'has'} {units.size(unpacked_bytes)}, "
            f"and {units.size(most)} is the most that is read on this machine",
            hint=f"Give less, or raise memory_bytes in [host] of the plan: {COPIES} times the size is needed "
            f"(now {units.size(memory)}).",
        )
    if unpacked_bytes > SMALL_BYTES and unpacked_bytes > MOST_RATIO * packed_bytes:
        raise kind(
            f"{what} unpacks from {units.size(packed_bytes)} to {units.size(unpacked_bytes)}, more than {MOST_RATIO} times its size",
            hint="A file made to exhaust the memory looks like this. If you mean this file, write it uncompressed.",
        )
