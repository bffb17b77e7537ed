"""How long a board may take for one request, all together, and what a person is told meanwhile.

A limit between two bytes ends nothing: a board may send one byte a second for ever, or say for ever that it is working.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from device_agent import wire
from targets.errors import NoAnswer, NotTheAgent, TargetError

NEWS_S = (10.0, 30.0, 60.0)  # after so long without news a line says what is waited for; then at each further minute
GRACE_S = 2.0  # behind its end: whoever still waits is blocked in sending, and is woken by closing the link
TURN_S = 2.0  # whoever waits looks at the clock as often, and takes meanwhile what is printed there
AWAY_S = 30.0  # nobody has looked for so long: this process was stopped (Ctrl-Z), and first hears what has come
MANY = 100  # records that say that the agent is working, beyond what its rule (wire.WORKING_S) comes to

START_S = 60.0  # for the agent to start: a cold Pi starts Python in seconds
INSTALL_S = 120.0  # to write the agent's files and sync them
ANSWER_S = 120.0  # for any answer: one sync of a full SD card takes so long
UNPACK_S = 900.0  # a wheel of a thousand files, each written and compiled: the slowest Pi takes some minutes
FINISH_S = 5.0  # for the agent to end
SLOWEST_BYTES_S = 32_000  # of an upload or a file that is fetched: a quarter of a megabit a second

DOING = {
    wire.Have: "say which files it has", wire.Unpack: "unpack a wheel", wire.Observe: "tell its state",
    wire.Tune: "set its clocks", wire.Meters: "look for power meters", wire.Submit: "start the job",
    wire.Cancel: "cancel the job", wire.Jobs: "list its jobs", wire.Forget: "remove the job's results",
    wire.Clean: "remove what nobody needs", wire.Uninstall: "remove all of edgepress",
}  # fmt: skip
"""Goes on "waiting for the board to ...": what each request is for."""

Say = Callable[[str], None]


class Wait:
    """One thing that is waited for. Use as a context manager: news are told within, and `give_up` is called at the end."""

    def __init__(
        self,
        address: str,
        doing: str,
        limit_s: float,
        say: Say | None = None,
        give_up: Callable[[], None] | None = None,
    ) -> None:
        """`doing` goes on "waiting for the board to ...". `give_up` must wake whoever is blocked in sending."""
        self.address, self.doing, self.limit_s = address, doing, limit_s
        self.detail = ""  # how far it is
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
        """Until its end. NoAnswer where that has come."""
        now = time.monotonic()
        if now - self._looked > AWAY_S:
            self._began += now - self._looked
        self._looked = now
        left_s = self._end() - now
        if left_s <= 0:
            raise self.no_answer()
        return left_s

    def is_over(self) -> bool:
        return time.monotonic() >= self._end()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Something else has to come first, with limits of its own; its time does not count here."""
        began = time.monotonic()
        self._over.set()
        try:
            yield
        finally:
            self._news = time.monotonic()
            self._began += self._news - began
            self.__enter__()

    def hold(self) -> None:
        """Until the next news() nothing is waited for: what came is being used."""
        self._held = True

    def news(self, doing: str | None = None, limit_s: float | None = None) -> None:
        """Something has come. `doing`, `limit_s`: what is waited for from here on, and how long."""
        self._news, self._since, self._working = time.monotonic(), time.strftime("%H:%M:%S"), 0
        self._held, self._looked = False, self._news
        if limit_s is not None:
            self._began, self.limit_s = self._news, limit_s
        self.doing = doing or self.doing

    def working(self) -> None:
        """The agent has said that it is at it. NotTheAgent where it says nothing else, without end."""
        self._working += 1
        if self._working > MANY + (time.monotonic() - self._news) / wire.WORKING_S:
            raise NotTheAgent(
                f"{self.address} says without end that it is working, when it is to {self.doing}",
                hint="That is not what the agent does: is its Python on the board what it should be?",
            )

    def no_answer(self) -> TargetError:
        at_it = f": it said {self._working} times that it is working, and nothing else" if self._working else ""
        return NoAnswer(
            f"{self.address} was to {self.doing} and has not done so in {self.limit_s:.0f} s{at_it}",
            hint="Something hangs or is overloaded there: log in and look what runs, then run again.",
        )

    def _watch(self, over: threading.Event) -> None:
        heard, told = self._news, 0
        while True:
            if self._news != heard:
                heard, told = self._news, 0
            line = heard + (NEWS_S[told] if told < len(NEWS_S) else NEWS_S[-1] * (told - len(NEWS_S) + 2))
            planned = min(line, self._end() + GRACE_S, time.monotonic() + TURN_S)
            if over.wait(max(0.0, planned - time.monotonic())):
                return
            now = time.monotonic()
            if self._held or self._news != heard or now - planned > AWAY_S:
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
            at_it = "; it says that it is working" if self._working else ""
            self._say(f"waiting for {self.address} to {self.doing}{self.detail}, since {self._since}{at_it}")
