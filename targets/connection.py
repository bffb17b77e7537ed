"""The link to one board and the conversation over it. A link that breaks is opened again, and what was asked is asked again."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from targets import waiting
from targets.conversation import Conversation, one_line
from targets.errors import ConnectionLost, TargetError, Unreachable
from targets.link import Channel, Link
from targets.waiting import Say, Wait

FIRST_TRY_S, NEXT_TRY_S = 15.0, 2.0  # limits on opening a connection: the board should be there; it was there
QUICK_TRIES = 5  # a board that is busy measuring may need longer to log us in
PAUSE_S = 0.5  # between two tries
RETURN_S = 60.0  # how long a board that was lost is waited for, in one request
ROUNDS = 5  # how often one request is asked again
CONNECT_S = 600.0  # many hosts on the way, each of which may take its own limits

R = TypeVar("R")


class Connection:
    def __init__(self, connect: Callable[[float], Link], python: str, root: str, say: Say, name: str) -> None:
        """As Session."""
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
                f"the agent on {self.link.address} was damaged or changed on its disk: it was not used, and is replaced"
            )

    def wait(self, doing: str, limit_s: float) -> Wait:
        """For one request: news of it go to the user, and at its end whoever is blocked in it is woken."""
        return Wait(self.link.address, doing, limit_s, self._say, self._give_up)

    def _give_up(self) -> None:
        self.link.close()  # of the link as it is then

    def again(self, wait: Wait, act: Callable[[Conversation], R]) -> R:
        """`act`, and once more after each time that the link broke. The board has RETURN_S in all to come back."""
        left_s = RETURN_S
        for _ in range(ROUNDS):
            try:
                return act(self.talk)
            except ConnectionLost as lost:
                if wait.is_over():  # its link was closed for that
                    raise wait.no_answer() from lost
                began = time.monotonic()
                self.reopen(wait, lost, left_s)
                left_s -= time.monotonic() - began
        return act(self.talk)

    def reopen(self, wait: Wait, lost: ConnectionLost, limit_s: float | None = None) -> None:
        """As soon as the board can be reached; that is no part of `wait`. `lost` again, if it does not come back in `limit_s`."""
        limit_s = RETURN_S if limit_s is None else limit_s
        with wait.aside():
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
                    self._say(f"{self.link.address} is there again")
                    return

    def start_python(self, code: str) -> Channel:
        """A program of our own in the board's Python, over the same link as the agent."""
        return self.link.start([self._python, "-I", "-S", "-c", one_line(code)])

    def close(self, limit_s: float, last: Callable[[Conversation], None] | None = None) -> bool:
        """After `last` was done, end the agent and close the link; whether `last` came to its end. What blocks for longer than
        `limit_s` is left behind.
        """
        until, done = time.monotonic() + limit_s, threading.Event()

        def goodbye() -> None:
            with contextlib.suppress(TargetError):
                if last is not None:
                    last(self.talk)
                done.set()
            with contextlib.suppress(Exception):  # of a link that is broken; there is nobody left to tell
                self.talk.close(max(0.0, min(waiting.FINISH_S, until - time.monotonic())))
                self.link.close()

        thread = threading.Thread(target=goodbye, name="edgepress-goodbye", daemon=True)
        thread.start()
        thread.join(limit_s)
        return done.is_set()
