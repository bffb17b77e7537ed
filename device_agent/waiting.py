"""What kept this process from running."""

import os
import resource
from typing import Optional

from device_agent import facts


def involuntary_switches() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def run_delay_since(delay_ns: Optional[int]) -> Optional[int]:
    now_ns = run_delay_ns()
    return now_ns - delay_ns if now_ns is not None and delay_ns is not None else None


def run_delay_ns() -> Optional[int]:
    """How long this process's threads together have waited for a CPU (Documentation/scheduler/sched-stats.rst)."""
    waited = []
    for thread in os.listdir("/proc/self/task"):
        value = facts.field(f"proc/self/task/{thread}/schedstat", "^[0-9]+ ([0-9]+) ")
        if value is None:
            return None
        waited.append(int(value))
    return sum(waited)
