"""One thread that watches every link for a board that no longer answers.

TCP alone does not notice: a proxy, a NAT or a half-dead router in between keeps acknowledging. So a link that was silent for a
while gets a request that sshd must answer, and is given up if there is no answer.
"""

import threading
import time
from dataclasses import dataclass
from typing import Protocol

TICK_S = 0.5
GIVE_UP_AFTER = 3  # times `keepalive_s` of silence; the request is sent after the first


class Watched(Protocol):
    keepalive_s: float

    def silent_s(self) -> float:
        """Return the seconds since anything came from the board."""

    def ask(self) -> None:
        """Send the request and wait for the answer. May block: it is called in its own thread."""

    def give_up(self, silent_s: float) -> None:
        """Close the link, so that all its waiting threads wake up. Must not block."""


_links: set[Watched] = set()
_lock = threading.Lock()
_watching = False


def watch(link: Watched) -> None:
    """Watch this link until `unwatch` or until it is given up."""
    global _watching  # noqa: PLW0603 - one thread a process is the point
    with _lock:
        _links.add(link)
        if not _watching:
            _watching = True
            threading.Thread(target=_run, name="edgepress-watchdog", daemon=True).start()


def unwatch(link: Watched) -> None:
    """Stop watching this link, if it is watched."""
    with _lock:
        _links.discard(link)


def _run() -> None:
    global _watching  # noqa: PLW0603
    open_questions: dict[Watched, _Question] = {}
    while True:
        time.sleep(TICK_S)
        with _lock:
            if not _links:
                _watching = False
                return
            links = list(_links)
        open_questions = {link: open_questions[link] for link in links if link in open_questions}
        for link in links:
            silent_s, question = link.silent_s(), open_questions.get(link)
            if question is not None and silent_s < time.monotonic() - question.asked_s:
                del open_questions[link]
            elif question is not None:
                question.ticks += 1
                if question.ticks * TICK_S >= (GIVE_UP_AFTER - 1) * link.keepalive_s:
                    unwatch(link)
                    link.give_up(silent_s)
            elif silent_s >= link.keepalive_s:
                open_questions[link] = _Question(time.monotonic())
                # Sending blocks if the network accepts no more bytes, and must not delay the watch over other links.
                threading.Thread(target=link.ask, name="edgepress-keepalive", daemon=True).start()


@dataclass
class _Question:
    asked_s: float
    ticks: int = 0  # not by the clock: a process that was stopped (Ctrl-Z) must first read what has arrived
