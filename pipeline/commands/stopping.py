"""Ctrl-C and its like: the first ends the command in order, within STOP_S; a second one ends it at once."""

import contextlib
import os
import signal
import sys
import threading
import time
from typing import NoReturn

from pipeline.safe_text import clean

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_S = 5.0
# A terminal that is closed sends SIGHUP twice, and what passes Ctrl-C on sends it in addition to the terminal: still the first one.
SAME_S = 0.25
SHOW_CURSOR = "\x1b[?25h"  # a progress bar hides it


class Stopped(BaseException):
    """SIGINT, SIGTERM or SIGHUP: unwinds everything, as KeyboardInterrupt does."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Stopping:
    def __init__(self) -> None:
        """Obey the signals from here on, but those that the caller has ignored: nohup stays nohup."""
        self._first_s: float | None = None
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._obey)

    def over(self) -> None:
        """Ignore signals from now on: all is tidied up. The interpreter, as it ends, gives each signal its default action back: a further Ctrl-C would
        replace the exit code. `_end_late` still ends what hangs.
        """
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _obey(self, number: int, _: object) -> None:
        now = time.monotonic()
        if self._first_s is None:
            self._first_s = now
            threading.Thread(target=self._end_late, args=[number], name="edgepress-stop", daemon=True).start()
            raise Stopped(number)
        if now - self._first_s > SAME_S:
            self._end(number, "Stopped at once.")

    def _end_late(self, number: int) -> None:
        time.sleep(STOP_S - SAME_S)
        self._end(number, f"Stopped: it did not end in order within {STOP_S:.0f} s.")

    def _end(self, number: int, text: str) -> NoReturn:
        """Without tidying up: what is half-done is in temporary files, which the next run removes."""
        try:
            if "pipeline.child" in sys.modules:
                sys.modules["pipeline.child"].kill_all()
            text = "\n".join(["", *map(clean, (text, *left_running())), ""])
            with contextlib.suppress(
                OSError
            ):  # not sys.stderr: the signal may have come in the middle of writing there
                os.write(2, ((SHOW_CURSOR if os.isatty(2) else "") + text).encode())
        finally:
            os._exit(128 + number)


def left_running() -> list[str]:
    """A sentence for each job that nobody has cancelled."""
    session = sys.modules.get("targets.session")
    jobs = dict(session.RUNNING) if session is not None else {}
    return [
        f"The job {job_id[:12]} may still run on {address}: `edgepress jobs` shows and cancels it."
        for job_id, address in jobs.items()
    ]
