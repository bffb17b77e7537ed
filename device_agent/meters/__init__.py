"""Power meters: one file each, one line in METERS.

A meter's file has
    is_present() -> bool     is it on this board, and may we read it?
    NOTE: str                what it measures, or why there is nothing: goes into the report
    open_meter()             an object with read_microwatts() -> int, which may block as long as the hardware needs, and
                             raises OSError for a reading that failed; or None: there is nothing to read
"""

import importlib
import threading
import time
from typing import Any, List, Optional, Tuple

METERS = {
    "none": "device_agent.meters.none",
}

PERIOD_S = 0.01  # 100 Hz: a window of 5 s is then enough (simulated)


class Sampler:
    """Reads a meter in a thread of the agent, not of the runner: the runner does nothing but infer."""

    def __init__(self, name: str) -> None:
        module = importlib.import_module(METERS[name])
        self.meter: Optional[Any] = module.open_meter() if module.is_present() else None
        self.note: str = module.NOTE if module.is_present() else f"the meter {name} is not present"
        self.samples: List[Tuple[int, int]] = []
        self.failed = 0
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        if self.meter is not None:
            self._thread = threading.Thread(target=self._poll, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """May be called without start()."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def between(self, start_ns: int, end_ns: int) -> Tuple[Tuple[int, int], ...]:
        """The samples (t_ns of CLOCK_MONOTONIC, microwatt) of that time."""
        return tuple(sample for sample in self.samples if start_ns <= sample[0] <= end_ns)

    def told(self) -> str:
        return f"{self.note}; {self.failed} readings failed" if self.failed else self.note

    def _poll(self) -> None:
        assert self.meter is not None
        while not self._stop.wait(PERIOD_S):
            try:
                power_uw = self.meter.read_microwatts()
                self.samples.append((time.monotonic_ns(), power_uw))
            except OSError:
                self.failed += 1
