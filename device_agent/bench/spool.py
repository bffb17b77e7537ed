"""What a job has to tell, kept on the disk until a host takes it."""

import contextlib
import os
import signal
from typing import Any, Iterator

from device_agent import wire
from device_agent.record import replace


class Spool:
    """The records of a job, numbered. Results are on the disk before anybody hears of them."""

    def __init__(self, folder: str) -> None:
        self.events = open(os.path.join(folder, "events"), "ab", buffering=0)  # noqa: SIM115 - as long as the process
        self.seq = 0

    def send(self, record: Any) -> None:
        """OSError where the disk is full; then the record is not there, not even in part."""
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
        """Only here a cancellation comes through: not while a record is written, and not while a launch is cleaned up after."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
