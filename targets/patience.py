"""Wait for a board that somebody else is using, for so long as was asked for, and say who has it."""

import time
from collections.abc import Callable
from typing import TypeVar

from targets.errors import Busy

LOOK_S = 1.0  # between two tries; Ctrl-C comes through at once
TELL_S = 60.0

R = TypeVar("R")


class Patience:
    """So many seconds in all, however often the board is busy."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.left_s = 0.0
        self._say = say

    def until_free(self, ask: Callable[[], R]) -> R:
        """What `ask` answers. Busy: the board still was when the patience was over."""
        tells_at = 0.0
        while True:
            try:
                return ask()
            except Busy as busy:
                if self.left_s <= 0:
                    raise
                now = time.monotonic()
                if now >= tells_at:
                    self._say(f"{busy.message}; waiting for it, {self.left_s:.0f} s at most")
                    tells_at = now + TELL_S
                time.sleep(min(LOOK_S, self.left_s))
                self.left_s -= time.monotonic() - now
