"""Wait until the board is as cool as when the job began, with a limit: a fixed pause is too long for one board and too short
for another, and the first launches would be measured cooler than the last.
"""

import time
from typing import Callable, Optional

from device_agent.bench.spool import Spool
from device_agent.board import conditions

LOOK_S = 1.0  # at the sensors: each look takes some milliseconds of CPU


class Band:
    """Of temperatures, up to `width_mc` above `from_mc`; None: above the one at the job's beginning."""

    def __init__(self, width_mc: int, limit_ns: int, from_mc: Optional[int]) -> None:
        """`limit_ns`: of all waiting in this job together; 0: nobody waits."""
        began_mc = conditions.hottest_mc() if limit_ns and from_mc is None else from_mc
        self.top_mc = None if began_mc is None or not limit_ns else began_mc + width_mc
        self.limit_ns = self.left_ns = limit_ns

    def enter(self, spool: Spool, tell: Callable[[str, int, int], None]) -> Optional[bool]:
        """Wait; whether the board is inside then. None: it has no sensor, or nobody waits."""
        while self.top_mc is not None:
            now_mc = conditions.hottest_mc()
            if now_mc is None:
                return None
            if now_mc <= self.top_mc:
                return True
            if self.left_ns <= 0:
                return False
            tell("cooling", self.limit_ns - self.left_ns, self.limit_ns)
            began_ns = time.monotonic_ns()
            with spool.cancellable():
                time.sleep(min(LOOK_S, self.left_ns / 1e9))
            self.left_ns -= time.monotonic_ns() - began_ns
        return None
