"""How long a board may take for one request in total, and what the user sees while waiting.

A limit between two bytes is not enough: a board may send one byte a second forever, or report forever that it is working.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from device_agent import wire
from targets.errors import NoAnswer, NotTheAgent, TargetError

NEWS_S = (10.0, 30.0, 60.0)  # a line reports the wait after these times without news; then every minute
GRACE_S = 2.0  # after the limit: a sender that is still blocked is woken by closing the link
POLL_S = 2.0  # how often a waiting thread checks the clock, and drains the board's output
# Without a check for this long, this process was stopped (Ctrl-Z), and must first read what has arrived.
SUSPENDED_S = 30.0
MANY = 100  # Working records beyond those that wire.WORKING_S allows

START_S = 60.0  # for the agent to start: a cold Pi starts Python in seconds
INSTALL_S = 120.0  # to write the agent's files and sync them
ANSWER_S = 120.0  # for any answer: one sync of a full SD card can take this long
UNPACK_S = 900.0  # a wheel of a thousand files, each written and compiled: the slowest Pi takes some minutes
FINISH_S = 5.0  # for the agent to end
SLOWEST_BYTES_S = 32_000  # of an upload or a download: a quarter of a megabit a second

DOING = {
    wire.Have: "say which files it has", wire.Unpack: "unpack a wheel", wire.Observe: "report its state",
    wire.Tune: "set its clocks", wire.Meters: "look for power meters", wire.Submit: "start the job",
    wire.Cancel: "cancel the job", wire.Jobs: "list its jobs", wire.Forget: "remove the job's results",
    wire.Clean: "remove what is not needed", wire.Uninstall: "remove all of edgepress",
}  # fmt: skip
"""Completes "waiting for the board to ...": what each request does."""

Say = Callable[[str], None]


class Wait:
    """One wait with a limit. A context manager: it reports long waits, and calls `give_up` at the limit."""

    def __init__(
        self,
        address: str,
        doing: str,
        limit_s: float,
        say: Say | None = None,
        give_up: Callable[[], None] | None = None,
    ) -> None:
        """`doing` completes "waiting for the board to ...". `give_up` must wake a blocked sender."""
        self.address, self.doing, self.limit_s = address, doing, limit_s
        self.detail = ""  # progress
        self._say, self._give_up = say, give_up
        self._working, self._held = 0, False
        self._began = self._news = self._looked = time.monotonic()
        self._since = time.strftime("%H:%M:%S")
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._over = threading.Event()
        threading.Thread(target=self._watch, args=[self._over], name="edgepress-wait", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def left_s(self) -> float:
        """Return the time left. NoAnswer if it is over."""
        now = time.monotonic()
        if now - self._looked > SUSPENDED_S:
            self._began += now - self._looked
        self._looked = now
        left_s = self._end() - now
        if left_s <= 0:
            raise self.no_answer()
        return left_s

    def is_over(self) -> bool:
        return time.monotonic() >= self._end()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend the wait for something with its own limits; that time does not count here."""
        began = time.monotonic()
        self._over.set()
        try:
            yield
        finally:
            self._news = time.monotonic()
            self._began += self._news - began
            self.__enter__()

    def hold(self) -> None:
        """Suspend the wait until the next news(), while the caller uses what came."""
        self._held = True

    def news(self, doing: str | None = None, limit_s: float | None = None) -> None:
        """Record that something has come. `doing`, `limit_s`: what to wait for from now on, and how long."""
        self._news, self._since, self._working = time.monotonic(), time.strftime("%H:%M:%S"), 0
        self._held, self._looked = False, self._news
        if limit_s is not None:
            self._began, self.limit_s = self._news, limit_s
        self.doing = doing or self.doing

    def working(self) -> None:
        """Record that the agent is working. NotTheAgent if it sends nothing else, endlessly."""
        self._working += 1
        if self._working > MANY + (time.monotonic() - self._news) / wire.WORKING_S:
            raise NotTheAgent(
                f"{self.address} keeps reporting that it is working, when it is to {self.doing}",
                hint="The agent does not do that: is the Python on the board the expected one?",
            )

    def no_answer(self) -> TargetError:
        at_it = f": it reported {self._working} times that it is working, and nothing else" if self._working else ""
        return NoAnswer(
            f"{self.address} was to {self.doing}, but did not within {self.limit_s:.0f} s{at_it}",
            hint="Something hangs or is overloaded there: log in and check what is running, then run again.",
        )

    def _watch(self, over: threading.Event) -> None:
        heard, told = self._news, 0
        while True:
            if self._news != heard:
                heard, told = self._news, 0
            line = heard + (NEWS_S[told] if told < len(NEWS_S) else NEWS_S[-1] * (told - len(NEWS_S) + 2))
            planned = min(line, self._end() + GRACE_S, time.monotonic() + POLL_S)
            if over.wait(max(0.0, planned - time.monotonic())):
                return
            now = time.monotonic()
            if self._held or self._news != heard or now - planned > SUSPENDED_S:
                continue
            if now >= self._end() + GRACE_S:
                if self._give_up is not None:
                    self._give_up()
                return
            if now >= line:
                told += 1
                self._tell()

    def _end(self) -> float:
        return self._began + self.limit_s

    def _tell(self) -> None:
        if self._say is not None:
            at_it = "; it reports that it is working" if self._working else ""
            self._say(f"waiting for {self.address} to {self.doing}{self.detail}, since {self._since}{at_it}")
