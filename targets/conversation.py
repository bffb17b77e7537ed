"""A conversation with one agent over one channel: start it (push it first if it is absent), then lines and raw bytes."""

import contextlib
import json
import time
import zlib
from typing import Any, TypeVar

from device_agent import wire
from device_agent.wire import Record
from targets import bundle, deadlines, diagnosis, failures, plausible, ranges
from targets.deadlines import Say, Wait
from targets.errors import (
    AgentFailed,
    ConnectionLost,
    Implausible,
    NoAnswer,
    NotTheAgent,
    TargetError,
)
from targets.link import Channel, Link

BOOT_MARK = b"--edgepress-boot-1--"
NOISE_LIMIT_BYTES = 1 << 20  # what a login shell may print before the mark
RECEIVE_BYTES = 128 * 1024
ANSWER_BYTES = 1 << 20  # of one line; results of a job may be longer (targets/job_records.py)
LAST_WORDS_S = 1.0  # for output still in transit from a program that has ended

R = TypeVar("R", bound=Record)


class Conversation:
    def __init__(self, link: Link, python: str, root: str, say: Say | None = None) -> None:
        """Start the agent under `root` on the board with the interpreter `python` and wait for its hello."""
        self.address = link.address
        self.agent_sent_bytes = 0
        self.agent_was_damaged = False
        self._buffer = bytearray()
        with Wait(self.address, "start the agent", deadlines.START_S, say, link.close) as wait:
            try:
                self._channel: Channel = link.start([python, "-I", "-S", "-c", one_line(bundle.bootstrap())])
                self._hello(python, root, wait)
            except ConnectionLost as lost:
                if wait.is_over():  # its link was closed for that
                    raise wait.no_answer() from lost
                raise

    def _hello(self, python: str, root: str, wait: Wait) -> None:
        try:
            self._boot(python, root, wait)
            self._skip_to(wire.MARK, wait)
            self._line(wait, ANSWER_BYTES)
            self.hello: wire.Hello = self.expect(wire.Hello, wait)
            if self.hello.protocol != wire.PROTOCOL or self.hello.agent_sha256 != self.agent_sha256:
                raise AgentFailed(
                    f"the agent on {self.address} is not the one that was pushed ({self.hello})",
                    hint=f"Remove {root}/agents on the board, then run again.",
                )
        except BaseException:
            self._end_boot()
            raise

    def _end_boot(self) -> None:
        """Close the channel. An agent that has all it needs is first let to install itself and to end with its input: a virtual board
        and this machine kill what runs there when the channel is closed, and half of an agent would be left.
        """
        try:
            if self.agent_sent_bytes:
                self._channel.finish(deadlines.FINISH_S)
        finally:
            self._channel.close()

    def _boot(self, python: str, root: str, wait: Wait) -> None:
        data, self.agent_sha256 = bundle.bundle()
        request = {"root": root, "sha256": self.agent_sha256, "size_bytes": len(data)}
        try:
            self.send(json.dumps(request).encode() + b"\n", wait)
            self._skip_to(BOOT_MARK, wait)
        except (ConnectionLost, NoAnswer) as error:
            raise self._no_start(python, error) from error
        word, _, rest = self._line(wait, ANSWER_BYTES).strip().partition(b" ")
        wait.news("say hello", deadlines.START_S)
        if word == b"NEED":
            self.agent_was_damaged = rest == b"DAMAGED"
            wait.news("install the agent", deadlines.INSTALL_S)
            self.send(data, wait)
            self.agent_sent_bytes = len(data)
            self._skip_to_boot_failure_or_agent(wait)
        elif word == b"FAIL":
            raise self._boot_failure(rest)

    def _skip_to_boot_failure_or_agent(self, wait: Wait) -> None:
        """Read what follows the bundle: either the agent's own mark, or why it could not be unpacked."""
        skipped = 0
        while skipped <= NOISE_LIMIT_BYTES:
            line = self._line(wait, NOISE_LIMIT_BYTES)
            skipped += len(line)
            if line.startswith(BOOT_MARK):
                raise self._boot_failure(line[len(BOOT_MARK) :].strip().partition(b" ")[2])
            if line.startswith(wire.MARK):
                self._buffer[:0] = line + b"\n"
                wait.news("say hello", deadlines.START_S)
                return
        raise self._babble(skipped)

    def _boot_failure(self, text: bytes) -> TargetError:
        return failures.of_boot(self.address, text)

    def _no_start(self, python: str, lost: ConnectionLost | NoAnswer) -> TargetError:
        printed = self._printed()
        code = self._channel.finish(deadlines.FINISH_S) if isinstance(lost, ConnectionLost) else None
        return failures.no_agent(self.address, python, code, printed, self._channel.errors(), lost)

    def _printed(self) -> bytes:
        """Return what has come in place of the agent's mark."""
        printed, until = bytes(self._buffer), time.monotonic() + LAST_WORDS_S
        with contextlib.suppress(TimeoutError, ConnectionLost):
            while len(printed) <= NOISE_LIMIT_BYTES and (left_s := until - time.monotonic()) > 0:
                data = self._channel.receive(RECEIVE_BYTES, left_s)
                if not data:
                    break
                printed += data
        return printed

    # --- both directions

    def ask(self, request: Record, kind: type[R], wait: Wait) -> R:
        self.write(request, wait)
        answer = self.expect(kind, wait)
        plausible.answer(self.address, request, answer)
        return answer

    def expect(self, kind: type[R], wait: Wait) -> R:
        """Return the next record, which must be of this kind; a Failure is raised as the error that it reports."""
        record = self.record(wait)
        if not isinstance(record, kind):
            raise self.unexpected(record)
        return record

    def write(self, record: Record, wait: Wait) -> None:
        self.send(wire.encode(record), wait)

    def send(self, data: bytes | memoryview, wait: Wait) -> None:
        view = memoryview(data)
        while view:
            with contextlib.suppress(TimeoutError):
                view = view[self._channel.send(view, min(deadlines.POLL_S, wait.left_s())) :]

    def record(self, wait: Wait, line_bytes: int = ANSWER_BYTES, silent_s: float | None = None) -> Any:
        """Return the next record other than Working. ConnectionLost after `silent_s` without any record. NoAnswer,
        NotTheAgent.
        """
        while True:
            line = self._line(wait, line_bytes, silent_s)
            try:
                record = ranges.decode(line)
            except ranges.RangeError as error:
                raise Implausible(
                    f"{self.address} reports {error}",
                    hint="The answer was discarded. Restart the board and run again; report it if it happens twice.",
                ) from error
            except wire.WireError as error:
                raise NotTheAgent(
                    f"{self.address} sent something outside the protocol: {diagnosis.last_words(str(error))}",
                    hint="Does something on the board write into the agent's output? Run again; report it if it happens twice.",
                ) from error
            if not isinstance(record, wire.Working):
                return record
            wait.working()

    def pass_over(self, wait: Wait, *wanted: type[Record]) -> None:
        """Read up to a record of one of these kinds. Earlier records are not decoded: there may be any number of them."""
        heads = tuple(f'{{"kind":"{kind.__name__}"'.encode() for kind in wanted)
        while not self._line(wait, wire.MAX_LINE_BYTES).startswith(heads):
            pass

    def has_answer(self) -> bool:
        """Whether a whole line can be read. Does not wait."""
        if b"\n" not in self._buffer:
            try:
                self._buffer += self._channel.receive(RECEIVE_BYTES, 0.0)
            except TimeoutError:
                return False
        return b"\n" in self._buffer

    def receive_exactly(self, size: int, wait: Wait) -> bytes:
        while len(self._buffer) < size:
            self._buffer += self._receive(wait)
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def close(self, limit_s: float | None = None) -> None:
        """End the agent: it ends when its input does."""
        self._channel.finish(deadlines.FINISH_S if limit_s is None else limit_s)
        self._channel.close()

    def _line(self, wait: Wait, limit_bytes: int, silent_s: float | None = None) -> bytes:
        start, end = 0, self._buffer.find(b"\n")
        while end < 0 and len(self._buffer) <= limit_bytes:
            start = len(self._buffer)
            self._buffer += self._receive(wait, silent_s)
            end = self._buffer.find(b"\n", start)
        if not 0 <= end <= limit_bytes:
            raise NotTheAgent(
                f"{self.address} sent a line of more than {limit_bytes} bytes when it was to {wait.doing}",
                hint="Does something on the board write into the agent's output? Run again; report it if it happens twice.",
            )
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _skip_to(self, mark: bytes, wait: Wait) -> None:
        """Skip everything up to and including the mark."""
        start = 0
        while (found := self._buffer.find(mark, start)) < 0:
            if len(self._buffer) > NOISE_LIMIT_BYTES:
                raise self._babble(len(self._buffer))
            start = max(0, len(self._buffer) - len(mark))
            self._buffer += self._receive(wait)
        del self._buffer[: found + len(mark)]

    def _receive(self, wait: Wait, silent_s: float | None = None) -> bytes:
        silent_from, data = time.monotonic(), None
        while data is None:
            turn_s = min(deadlines.POLL_S, wait.left_s())
            with contextlib.suppress(TimeoutError):
                data = self._channel.receive(RECEIVE_BYTES, turn_s)
            if data is None and silent_s is not None and time.monotonic() - silent_from > silent_s:
                raise ConnectionLost(
                    f"{self.address} has not answered for {silent_s:.0f} s",
                    hint="Is the board still up and on the network? Nothing was left half-written there; run again.",
                )
        if not data:
            if wait.is_over():  # its link was closed for that
                raise wait.no_answer()
            raise failures.ended(self.address, self._channel.finish(deadlines.FINISH_S), self._channel.errors())
        return data

    # --- failures

    def unexpected(self, record: object) -> TargetError:
        """Return the error for an unexpected record."""
        return failures.of_record(self.address, record)

    def _babble(self, size: int) -> NotTheAgent:
        return NotTheAgent(
            f"{self.address} printed {size} bytes and no agent answered{diagnosis.quoted(diagnosis.last_words(bytes(self._buffer[-4000:])))}",
            hint="Something in the login shell's start-up files there prints endlessly.",
        )


def one_line(source: str) -> str:
    """Return Python source as one short line of letters and digits, which every login shell (also csh, fish) passes on."""
    return f'exec(__import__("zlib").decompress(bytes.fromhex("{zlib.compress(source.encode(), 9).hex()}")))'
