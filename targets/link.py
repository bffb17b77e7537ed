"""The interface of a link to a board: start a program there and talk to it over its standard input and output."""

from collections.abc import Sequence
from typing import Protocol


class Channel(Protocol):
    """One running program on the board. All methods raise targets.errors.ConnectionLost when the link breaks."""

    def send(self, data: bytes | memoryview, timeout_s: float) -> int:
        """Write some of `data` to its standard input; return how many bytes. TimeoutError if it took none."""

    def receive(self, limit_bytes: int, timeout_s: float) -> bytes:
        """Return at most `limit_bytes` of its standard output; b"" at its end; TimeoutError if nothing came."""

    def errors(self) -> str:
        """Return the end of what it has written to standard error so far."""

    def finish(self, timeout_s: float) -> int | None:
        """Close its standard input and wait for its end. Returns its exit code, 128 + n if signal n killed it; None if it did not
        end in time, or the link ended first.
        """

    def close(self) -> None:
        """Release it, whatever its state."""


class Link(Protocol):
    address: str
    """For people: user@host:port, or "this machine"."""

    def start(self, argv: Sequence[str]) -> Channel: ...

    def close(self) -> None: ...
