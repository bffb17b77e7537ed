"""The link to one board and the conversation over it. A broken link is reopened, and the request is sent again."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from targets import deadlines
from targets.conversation import Conversation, one_line
from targets.deadlines import Say, Wait
from targets.errors import ConnectionLost, TargetError, Unreachable
from targets.link import Channel, Link

FIRST_TRY_S, NEXT_TRY_S = 15.0, 2.0  # limits on opening a connection: the first one, and a later one
QUICK_TRIES = 5  # after these, a board that is busy measuring gets longer to log us in
PAUSE_S = 0.5  # between two attempts
RETURN_S = 60.0  # how long one request waits for a lost board
ROUNDS = 5  # how often one request is sent again
CONNECT_S = 600.0  # there may be many jump hosts, each with its own limits

R = TypeVar("R")


class Connection:
    def __init__(self, connect: Callable[[float], Link], python: str, root: str, say: Say, name: str) -> None:
        """Take the arguments of Session."""
        self._connect, self._python, self._root, self._say, self._name = connect, python, root, say, name
        self.open(FIRST_TRY_S)

    def open(self, limit_s: float) -> None:
        with Wait(self._name, "be reached", CONNECT_S, self._say):
            self.link = self._connect(limit_s)
        self.connected_s = time.monotonic()
        try:
            self.talk = Conversation(self.link, self._python, self._root, self._say)
        except BaseException:
            self.link.close()
            raise
        if self.talk.agent_was_damaged:
            self._say(
                f"the agent on {self.link.address} was damaged or changed on its disk: it was not used and has been replaced"
            )

    def wait(self, doing: str, limit_s: float) -> Wait:
        """Return the wait for one request: it reports to the user, and at its limit wakes a blocked sender."""
        return Wait(self.link.address, doing, limit_s, self._say, self._give_up)

    def _give_up(self) -> None:
        self.link.close()  # the link that is open at that time

    def again(self, wait: Wait, act: Callable[[Conversation], R]) -> R:
        """Run `act`, again each time the link breaks. The board has RETURN_S in total to come back."""
        left_s = RETURN_S
        for _ in range(ROUNDS):
            try:
                return act(self.talk)
            except ConnectionLost as lost:
                if wait.is_over():  # its limit closed the link
                    raise wait.no_answer() from lost
                began = time.monotonic()
                self.reopen(wait, lost, left_s)
                left_s -= time.monotonic() - began
        return act(self.talk)

    def reopen(self, wait: Wait, lost: ConnectionLost, limit_s: float | None = None) -> None:
        """Reopen as soon as the board is reachable; this time does not count in `wait`. Raises `lost` again after `limit_s`."""
        limit_s = RETURN_S if limit_s is None else limit_s
        with wait.paused():
            self.talk.close()
            self.link.close()
            self._say(f"{lost.message}; trying for {max(0.0, limit_s):.0f} s to reach it again")
            deadline = time.monotonic() + limit_s
            for tries in itertools.count():
                try:
                    self.open(NEXT_TRY_S if tries < QUICK_TRIES else FIRST_TRY_S)
                except (ConnectionLost, Unreachable):
                    if time.monotonic() > deadline:
                        raise lost from None
                    time.sleep(PAUSE_S)
                else:
                    self._say(f"{self.link.address} is reachable again")
                    return

    def start_python(self, code: str) -> Channel:
        """Start a program of ours in the board's Python, over the same link as the agent."""
        return self.link.start([self._python, "-I", "-S", "-c", one_line(code)])

    def close(self, limit_s: float, last: Callable[[Conversation], None] | None = None) -> bool:
        """Run `last`, then end the agent and close the link. Returns whether `last` completed. What blocks longer than `limit_s` is
        abandoned.
        """
        until, done = time.monotonic() + limit_s, threading.Event()

        def goodbye() -> None:
            with contextlib.suppress(TargetError):
                if last is not None:
                    last(self.talk)
                done.set()
            with contextlib.suppress(Exception):  # the link is broken, and nothing is left to do
                self.talk.close(max(0.0, min(deadlines.FINISH_S, until - time.monotonic())))
                self.link.close()

        thread = threading.Thread(target=goodbye, name="edgepress-goodbye", daemon=True)
        thread.start()
        thread.join(limit_s)
        return done.is_set()
