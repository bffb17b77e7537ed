"""Messages of a runner to the agent, over their own pipe: see bench/runner_process.py."""

import fcntl
import json
import os
import resource
import time
from typing import Any, Dict

REPORT_NS = 500_000_000  # between two events: each wakes the agent and sshd, which may share our only core


class Messages:
    """The runner's end of the pipe."""

    def __init__(self, descriptor: int) -> None:
        self.file = os.fdopen(descriptor, "wb", buffering=0)
        self.phase = "started"
        self.next_ns = 0

    def enter(self, phase: str, of: int) -> None:
        self.phase = phase
        self._write({"event": [phase, 0, of]})
        self.next_ns = time.perf_counter_ns() + REPORT_NS

    def report(self, done: int, of: int, now_ns: int) -> None:
        if now_ns >= self.next_ns:
            self._write({"event": [self.phase, done, of]})
            self.next_ns = now_ns + REPORT_NS

    def be_silent(self) -> None:
        """Send no more events."""
        self.next_ns = 1 << 62

    def move_out_of_reach(self) -> None:
        """Take a high descriptor that no program inherits: code of the user's may close the small ones, or write to them."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        low = self.file.fileno()
        high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, max(low, min(soft, 1024) - 8))
        self.file.close()
        self.file = os.fdopen(high, "wb", buffering=0)

    def answer(self, kind: str, what: Any) -> None:
        self._write({kind: what})

    def end(self, message: Dict[str, Any]) -> None:
        self._write(message)
        self.file.close()

    def _write(self, message: Dict[str, Any]) -> None:
        view = memoryview(json.dumps(message).encode() + b"\n")
        while view:
            view = view[self.file.write(view) :]
