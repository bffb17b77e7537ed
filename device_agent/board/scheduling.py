"""What kept this process from running, of all its threads."""

import os
import resource
import time
from typing import Dict, NamedTuple, Optional

from device_agent.board import procfs


class Waited(NamedTuple):
    involuntary_switches: int
    major_faults: int  # pages that were not in memory, but on a disk or in swap
    run_delay_ns: Optional[int]

    def since(self, before: "Waited") -> Dict[str, Optional[int]]:
        """What has come to each, by name. None, where it is less than before: a thread that has ended took its part along."""
        return {
            name: None if now is None or old is None or now < old else now - old
            for name, now, old in zip(self._fields, self, before)  # noqa: B905 - Python 3.8
        }


class Counting:
    """From now on; `counted_ns` of what it tells is the whole time, with that of looking."""

    def __init__(self) -> None:
        self.start_ns = time.perf_counter_ns()
        self.before = waited()

    def told(self) -> Dict[str, Optional[int]]:
        """The fields of wire.Launched and wire.Block."""
        return {**waited().since(self.before), "counted_ns": time.perf_counter_ns() - self.start_ns}


def waited() -> Waited:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Waited(used.ru_nivcsw, used.ru_majflt, run_delay_ns())


def run_delay_ns() -> Optional[int]:
    """How long this process's threads together have waited for a CPU (Documentation/scheduler/sched-stats.rst)."""
    waited = []
    for thread in os.listdir("/proc/self/task"):
        value = procfs.field(f"proc/self/task/{thread}/schedstat", "^[0-9]+ ([0-9]+) ")
        if value is None:
            return None
        waited.append(int(value))
    return sum(waited)
