"""Wait for a board that is in use, for a given time, and report its user."""

import time
from collections.abc import Callable
from typing import TypeVar

from targets.errors import Busy

LOOK_S = 1.0  # between two attempts; Ctrl-C interrupts at once
TELL_S = 60.0

R = TypeVar("R")


class BusyRetry:
    """A time in seconds for all waiting together, however often the board is busy."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.left_s = 0.0
        self._say = say

    def until_free(self, ask: Callable[[], R]) -> R:
        """Return what `ask` returns. Busy if the board is still busy when the time is over."""
        tells_at = 0.0
        while True:
            try:
                return ask()
            except Busy as busy:
                if self.left_s <= 0:
                    raise
                now = time.monotonic()
                if now >= tells_at:
                    self._say(f"{busy.message}; waiting for it for at most {self.left_s:.0f} s")
                    tells_at = now + TELL_S
                time.sleep(min(LOOK_S, self.left_s))
                self.left_s -= time.monotonic() - now
