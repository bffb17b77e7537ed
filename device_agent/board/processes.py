"""Processes by their number, and this boot."""

import time
from typing import List, Optional

from device_agent.board import procfs


def boot_id() -> str:
    return procfs.text("proc/sys/kernel/random/boot_id") or ""


def start_ticks(pid: int) -> Optional[int]:
    """Return when the process was started, in clock ticks since boot (proc(5), stat, field 22). None: it is dead or unknown."""
    fields = stat(pid)
    return int(fields[19]) if len(fields) > 19 and fields[0] not in "ZX" else None


def stat(pid: int) -> List[str]:
    """Return the fields of stat (proc(5)) from field 3 on, after the program's name; empty: no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def oom_kills() -> Optional[int]:
    """Return how often the kernel has killed a process for lack of memory since boot, in any cgroup."""
    kills = procfs.field("proc/vmstat", "^oom_kill ([0-9]+)$")
    return int(kills) if kills is not None else None
