"""What kept the threads of this process from running."""

import os
import resource
import time
from typing import Dict, NamedTuple, Optional

from device_agent.board import procfs


class Delays(NamedTuple):
    involuntary_switches: int
    major_faults: int  # pages that were not in memory, but on a disk or in swap
    run_delay_ns: Optional[int]

    def since(self, before: "Delays") -> Dict[str, Optional[int]]:
        """Return the increase of each, by name. None if it is less than before: a thread has ended, and its part with it."""
        return {
            name: None if now is None or old is None or now < old else now - old
            for name, now, old in zip(self._fields, self, before)  # noqa: B905 - Python 3.8
        }


class DelayCounter:
    """Counts delays from now on. `counted_ns` is the whole time, including that of reading the counters."""

    def __init__(self) -> None:
        self.start_ns = time.perf_counter_ns()
        self.before = delays()

    def fields(self) -> Dict[str, Optional[int]]:
        """Return the fields of wire.Launched and wire.Block."""
        return {**delays().since(self.before), "counted_ns": time.perf_counter_ns() - self.start_ns}


def delays() -> Delays:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Delays(used.ru_nivcsw, used.ru_majflt, run_delay_ns())


def run_delay_ns() -> Optional[int]:
    """Return how long this process's threads together have waited for a CPU (Documentation/scheduler/sched-stats.rst)."""
    delays = []
    for thread in os.listdir("/proc/self/task"):
        value = procfs.field(f"proc/self/task/{thread}/schedstat", "^[0-9]+ ([0-9]+) ")
        if value is None:
            return None
        delays.append(int(value))
    return sum(delays)
