"""A conversation with the agent on a board: start it (push it first where it is absent), ask, follow its events."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

from device_agent import wire
from targets import bundle
from targets.errors import AgentFailed, Busy, ConnectionLost, DiskFull, NoPython, TargetError
from targets.link import Channel, Link

BOOT_MARK = b"--edgepress-boot-1--"
NOISE_LIMIT_BYTES = 1 << 20  # what a login shell may print before the mark
SEND_BYTES = 128 * 1024
GET_LIMIT_BYTES = 1 << 30
HELLO_TIMEOUT_S = 60.0  # a cold Pi starts Python in seconds
ANSWER_TIMEOUT_S = 120.0  # unpacking wheels on an SD card
FINISH_TIMEOUT_S = 5.0

R = TypeVar("R")


class Session:
    """Use as a context manager: leaving it ends the agent, and the agent ends whatever it had started."""

    def __init__(self, link: Link, python: str, root: str) -> None:
        """Start the agent under `root` on the board with the interpreter `python` and wait for its hello."""
        self.address = link.address
        self.agent_sent_bytes = 0
        self._buffer = b""
        began = time.monotonic()
        self._channel: Channel = link.start([python, "-I", "-c", _one_line(bundle.bootstrap())])
        try:
            self._boot(python, root)
            self._skip_to(wire.MARK, HELLO_TIMEOUT_S)
            hello = self._record(HELLO_TIMEOUT_S)
        except BaseException:
            self._channel.close()
            raise
        if (
            not isinstance(hello, wire.Hello)
            or hello.protocol != wire.PROTOCOL
            or hello.agent_sha256 != self.agent_sha256
        ):
            self._channel.close()
            raise AgentFailed(
                f"the agent on {self.address} is not the one that was pushed ({hello})",
                hint=f"Remove {root}/agents on the board and run again.",
            )
        self.machine = hello.machine
        self.first_answer_s = time.monotonic() - began

    def _boot(self, python: str, root: str) -> None:
        data, self.agent_sha256 = bundle.bundle()
        request = {"root": root, "sha256": self.agent_sha256, "size_bytes": len(data)}
        try:
            self._channel.send(json.dumps(request).encode() + b"\n")
            self._skip_to(BOOT_MARK, HELLO_TIMEOUT_S)
        except ConnectionLost as error:
            raise self._no_start(python) or error from error
        word, _, rest = self._line(HELLO_TIMEOUT_S).strip().partition(b" ")
        if word == b"NEED":
            self._send(data, None)
            self.agent_sent_bytes = len(data)
            self._skip_to_boot_failure_or_agent()
        elif word == b"FAIL":
            raise self._boot_failure(rest)

    def _skip_to_boot_failure_or_agent(self) -> None:
        """After the bundle was sent: either the agent's own mark follows, or why it could not be unpacked."""
        skipped = 0
        while skipped <= NOISE_LIMIT_BYTES:
            line = self._line(ANSWER_TIMEOUT_S)
            skipped += len(line)
            if line.startswith(BOOT_MARK):
                raise self._boot_failure(line[len(BOOT_MARK) :].strip().partition(b" ")[2])
            if line.startswith(wire.MARK):
                self._buffer = line + b"\n" + self._buffer
                return
        raise self._babble(skipped)

    def _boot_failure(self, text: bytes) -> TargetError:
        try:
            failure = json.loads(text)
            kind, message = str(failure["error"]), str(failure["message"])
        except (ValueError, KeyError, TypeError):
            kind, message = "internal", text[:200].decode(errors="replace")
        if kind == "no_space":
            return self._disk_full(message)
        if kind == "old_python":
            return NoPython(f"{self.address}: {message}", hint="The agent needs Python 3.8 or newer there.")
        return AgentFailed(
            f"the agent could not be put on {self.address}: {message}",
            hint="The folder `root` of this board in boards.toml must be writable for that user.",
        )

    def _no_start(self, python: str) -> TargetError | None:
        code, said = self._channel.finish(FINISH_TIMEOUT_S), self._channel.errors()
        if code in {126, 127}:
            return NoPython(
                f"there is no {python} on {self.address}",
                hint="Install Python 3.8 or newer there, or name its path as `python` in boards.toml.",
            )
        if code is not None:
            return AgentFailed(
                f"the agent did not start on {self.address} (exit code {code}): {said or 'it said nothing'}",
                hint=f"Is {python} a Python 3.8 or newer there? Its path is `python` in boards.toml.",
            )
        return None

    # --- requests

    def have(self, blobs: tuple[str, ...], sites: tuple[str, ...]) -> wire.Present:
        return self._ask(wire.Have(blobs, sites), wire.Present)

    def put(self, data: bytes, sha256: str, sent: Callable[[int], None] | None = None) -> None:
        """Send a blob; it is complete and durable on the board when this returns. `sent` is told the bytes so far."""
        self._ask(wire.Put(sha256, len(data)), wire.Ready)
        self._send(data, sent)
        self._expect(wire.Stored, ANSWER_TIMEOUT_S)

    def unpack(self, name: str, sha256: str) -> None:
        """Make a site of the wheel that was put there as a blob; done at once where it exists."""
        self._ask(wire.Unpack(name, sha256), wire.Unpacked)

    def observe(self) -> wire.Conditions:
        return self._ask(wire.Observe(), wire.Conditions)

    def get(self, sha256: str) -> bytes:
        """Fetch a blob; its hash is checked. ConnectionLost for more than GET_LIMIT_BYTES."""
        size = self._ask(wire.Get(sha256), wire.Blob).size_bytes
        if not 0 <= size <= GET_LIMIT_BYTES:
            raise ConnectionLost(f"{self.address} wants to send {size} bytes", hint="Answer fewer evaluation rows.")
        received = bytearray(self._buffer)
        while len(received) < size:
            received += self._receive(ANSWER_TIMEOUT_S)
        data, self._buffer = bytes(received[:size]), bytes(received[size:])
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ConnectionLost(f"the file {sha256[:12]} came damaged from {self.address}", hint="Run again.")
        return data

    def run(self, job: wire.Job) -> Iterator[wire.Event | wire.Launched | wire.LaunchFailed]:
        """Everything the job says, until it is finished."""
        self._write(job)
        longest_s = max(launch.timeout_ns for launch in job.launches) / 1e9
        deadline = time.monotonic() + sum(launch.timeout_ns for launch in job.launches) / 1e9 + ANSWER_TIMEOUT_S
        while time.monotonic() < deadline:
            record = self._record(longest_s + ANSWER_TIMEOUT_S)
            if isinstance(record, wire.Finished):
                return
            if isinstance(record, wire.Failure):
                raise self._failure(record)
            if not isinstance(record, (wire.Event, wire.Launched, wire.LaunchFailed)):
                raise self._unexpected(record)
            yield record
        raise ConnectionLost(f"{self.address} has not finished the job in time", hint="Run again.")

    def close(self) -> None:
        self._channel.finish(FINISH_TIMEOUT_S)
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the two directions

    def _ask(self, request: object, kind: type[R]) -> R:
        self._write(request)
        return self._expect(kind, ANSWER_TIMEOUT_S)

    def _expect(self, kind: type[R], timeout_s: float) -> R:
        record = self._record(timeout_s)
        if isinstance(record, wire.Failure):
            raise self._failure(record)
        if not isinstance(record, kind):
            raise self._unexpected(record)
        return record

    def _write(self, record: object) -> None:
        self._channel.send(wire.encode(record))

    def _send(self, data: bytes, sent: Callable[[int], None] | None) -> None:
        view = memoryview(data)
        for start in range(0, len(data), SEND_BYTES):
            self._channel.send(bytes(view[start : start + SEND_BYTES]))
            if sent is not None:
                sent(min(start + SEND_BYTES, len(data)))

    def _record(self, timeout_s: float) -> Any:
        line = self._line(timeout_s)
        try:
            return wire.decode(line)
        except wire.WireError as error:
            raise ConnectionLost(
                f"{self.address} sent what is not of the protocol: {error}", hint="Run again."
            ) from error

    def _line(self, timeout_s: float) -> bytes:
        pieces = [self._buffer]
        while b"\n" not in pieces[-1]:
            if sum(map(len, pieces)) > wire.MAX_LINE_BYTES:
                raise ConnectionLost(f"{self.address} sent a line without end", hint="Run again.")
            pieces.append(self._receive(timeout_s))
        line, _, self._buffer = b"".join(pieces).partition(b"\n")
        return line

    def _skip_to(self, mark: bytes, timeout_s: float) -> None:
        while mark not in self._buffer:
            if len(self._buffer) > NOISE_LIMIT_BYTES:
                raise self._babble(len(self._buffer))
            self._buffer += self._receive(timeout_s)
        self._buffer = self._buffer.partition(mark)[2].lstrip(b" ")
        if mark == wire.MARK:
            self._line(timeout_s)

    def _receive(self, timeout_s: float) -> bytes:
        try:
            data = self._channel.receive(SEND_BYTES, timeout_s)
        except TimeoutError as error:
            raise ConnectionLost(
                f"{self.address} has not answered for {timeout_s:.0f} s",
                hint="Is the board still up and on the network? Nothing was left half-written there; run again.",
            ) from error
        if not data:
            said = self._channel.errors()
            raise ConnectionLost(
                f"the connection to {self.address} ended in the middle" + (f"; it said: {said[-500:]}" if said else ""),
                hint="Is the board still up and on the network? Nothing was left half-written there; run again.",
            )
        return data

    # --- failures

    def _failure(self, failure: wire.Failure) -> TargetError:
        if failure.error == "no_space":
            return self._disk_full(failure.message)
        if failure.error == "busy":
            return Busy(
                f"{self.address} is busy: {failure.message}", hint="Wait for the other run to end, then run again."
            )
        return AgentFailed(
            f"the agent on {self.address} failed ({failure.error}): {failure.message}",
            hint="Run again; if it happens twice, remove the board's edgepress folder and run once more.",
        )

    def _babble(self, size: int) -> ConnectionLost:
        return ConnectionLost(
            f"{self.address} printed {size} bytes and no agent answered",
            hint="Something in the login shell's start files there prints without end.",
        )

    def _disk_full(self, message: str) -> DiskFull:
        return DiskFull(
            f"the disk of {self.address} is full: {message}",
            hint="Free space there (old files of edgepress are in its `root`, by default ~/.edgepress), then run again.",
        )

    def _unexpected(self, record: object) -> ConnectionLost:
        return ConnectionLost(f"{self.address} answered out of turn: {type(record).__name__}", hint="Run again.")


def _one_line(source: str) -> str:
    """Python source as one line of letters and digits, which every login shell (csh, fish too) passes on."""
    return f'exec(bytes.fromhex("{source.encode().hex()}"))'
