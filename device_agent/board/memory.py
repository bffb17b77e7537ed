"""Resident memory of this process, split as the kernel does: a mapped model file is not the same as a copy of it.

Proportional figures (Pss) are left out: they depend on which other processes map the same libraries, 12 to 20 MB in
measurements of one and the same model.
"""

import re
from typing import Optional

from device_agent.board import procfs
from device_agent.wire import MemoryStep

STATUS = "proc/self/status"
GROUP = r"^[0-9]+:([^:\n]*):(/.*/edgepress-[0-9a-f]{32}\.scope)$"  # of /proc/self/cgroup (cgroups(7)): the scope of a job, jobs/requests.py
ROLLUP = "proc/self/smaps_rollup"  # Linux 4.14, Documentation/ABI/testing/procfs-smaps_rollup: counted page by page


def snapshot(step: str) -> MemoryStep:
    """Return the bytes that are resident now, and what the whole board has left.

    Anonymous memory is counted in the page tables if the kernel offers that. RssAnon is a sum of counters that each CPU
    keeps, and may lag by some pages a CPU (proc_pid_status(5): "inaccurate").
    """
    status, rollup = procfs.text(STATUS) or "", procfs.text(ROLLUP) or ""
    counted = procfs.kib_in(rollup, "Anonymous")
    return MemoryStep(
        step=step,
        resident_bytes=procfs.kib_in(status, "VmRSS"),
        anonymous_bytes=procfs.kib_in(status, "RssAnon") if counted is None else counted,
        file_bytes=procfs.kib_in(status, "RssFile"),
        private_dirty_bytes=procfs.kib_in(rollup, "Private_Dirty"),
        available_bytes=procfs.kib("proc/meminfo", "MemAvailable"),
    )


def peak_bytes() -> Optional[int]:
    """Return the peak of resident memory (VmHWM). Not ru_maxrss: that is inherited from the parent through fork and exec."""
    return procfs.kib(STATUS, "VmHWM")


def job_peak_bytes() -> Optional[int]:
    """Return the peak charged to the job's control group, with the page cache. None: it has none that is certainly its own, or
    the kernel keeps no peak (version 2 from Linux 5.19 on; Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst).
    """
    for controllers, path in re.findall(GROUP, procfs.text("proc/self/cgroup") or "", re.MULTILINE):
        if controllers == "":
            peak = procfs.number(f"sys/fs/cgroup{path}/memory.peak")
        elif "memory" in controllers.split(","):
            peak = procfs.number(f"sys/fs/cgroup/memory{path}/memory.max_usage_in_bytes")
        else:
            continue
        if peak is not None:
            return peak
    return None
