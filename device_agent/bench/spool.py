"""The records of a job, kept on the disk until a host fetches them."""

import contextlib
import os
import signal
from typing import Any, Iterator

from device_agent import wire
from device_agent.record import replace


class Spool:
    """Writes numbered records. Results are on the disk before a host can read them."""

    def __init__(self, folder: str) -> None:
        self.events = open(os.path.join(folder, "events"), "ab", buffering=0)  # noqa: SIM115 - as long as the process
        self.seq = 0

    def send(self, record: Any) -> None:
        """Append a record. OSError if the disk is full; then no part of the record is there."""
        whole_bytes = self.events.tell()
        view = memoryview(wire.encode(replace(record, seq=self.seq + 1)))
        try:
            while view:
                view = view[self.events.write(view) :]
        except BaseException:
            self.events.truncate(whole_bytes)
            raise
        self.seq += 1
        if not isinstance(record, wire.Event):
            os.fsync(self.events.fileno())

    @contextlib.contextmanager
    def cancellable(self) -> Iterator[None]:
        """Let a cancellation interrupt this block; it cannot interrupt the writing of a record or a cleanup."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
