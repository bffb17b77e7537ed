"""Wait until the board is as cool as when the job began, with a limit: a fixed pause is too long for one board and too short
for another, and without a pause the first launches would run cooler than the last.
"""

import time
from typing import Callable, Optional

from device_agent.bench.spool import Spool
from device_agent.board import conditions

LOOK_S = 1.0  # between readings of the sensors: each takes a few milliseconds of CPU


class Band:
    """A temperature band: from `from_mc` to `from_mc` + `width_mc`. `from_mc` None: from the temperature at the job's start."""

    def __init__(self, width_mc: int, limit_ns: int, from_mc: Optional[int]) -> None:
        """`limit_ns` bounds all waiting in this job together; 0: no waiting."""
        began_mc = conditions.hottest_mc() if limit_ns and from_mc is None else from_mc
        self.top_mc = None if began_mc is None or not limit_ns else began_mc + width_mc
        self.limit_ns = self.left_ns = limit_ns

    def enter(self, spool: Spool, report: Callable[[str, int, int], None]) -> Optional[bool]:
        """Wait, and return whether the board is inside then. None: it has no sensor, or the limit is 0."""
        while self.top_mc is not None:
            now_mc = conditions.hottest_mc()
            if now_mc is None:
                return None
            if now_mc <= self.top_mc:
                return True
            if self.left_ns <= 0:
                return False
            report("cooling", self.limit_ns - self.left_ns, self.limit_ns)
            began_ns = time.monotonic_ns()
            with spool.cancellable():
                time.sleep(min(LOOK_S, self.left_ns / 1e9))
            self.left_ns -= time.monotonic_ns() - began_ns
        return None
