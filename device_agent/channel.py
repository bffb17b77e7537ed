"""The two pipes to the host: lines and raw bytes in, records and files out. The end of the input is HostGone, everywhere."""

from __future__ import annotations

import os
import select
import time

from device_agent import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

CHUNK_BYTES = 1 << 16
SILENT_S = 30.0  # in the middle of an upload; the host gives a silent link up after 45


class HostGone(Exception):
    """Nobody is left to answer to, or the stream can not be kept in step: stop everything, clean up, end."""


class Refused(Exception):
    """A request that can not be served; becomes wire.Failure."""

    def __init__(self, error: str, message: str, errno: str = "") -> None:
        super().__init__(message)
        self.error = error
        self.message = message
        self.errno = errno

    def failure(self) -> wire.Failure:
        return wire.Failure(self.error, self.message, self.errno)


class Channel:
    def __init__(self, input_fd: int, output_fd: int) -> None:
        self.input_fd = input_fd
        self.output_fd = output_fd
        self.buffer = bytearray()
        self.next_working = 0.0

    def read_line(self) -> bytes:
        """The next line without its end. WireError if it is too long; it is skipped then."""
        start, skipping = 0, False
        while True:
            end = self.buffer.find(b"\n", start)
            if end >= 0:
                line = bytes(self.buffer[:end])
                del self.buffer[: end + 1]
                if skipping or end > wire.MAX_LINE_BYTES:
                    raise wire.WireError(f"a line is longer than {wire.MAX_LINE_BYTES} bytes")
                return line
            if len(self.buffer) > wire.MAX_LINE_BYTES:
                self.buffer.clear()
                skipping = True
            start = len(self.buffer)
            self._fill()

    def read_exactly(self, size: int) -> bytearray:
        """Of an upload. HostGone also where the host is silent: what it has begun is held for it meanwhile."""
        data = bytearray(size)
        view = memoryview(data)
        have = min(size, len(self.buffer))
        view[:have] = self.buffer[:have]
        del self.buffer[:have]
        while have < size:
            if not self.waits(SILENT_S):
                raise HostGone(f"the host has sent nothing for {SILENT_S:g} s in the middle of an upload")
            got = os.readv(self.input_fd, [view[have:]])
            if not got:
                raise HostGone("the input ended")
            have += got
        return data

    def check(self) -> None:
        """In long work: HostGone if the host has closed its end; tell it from time to time that we are at it. Never blocks.

        What the host has sent meanwhile is kept.
        """
        while self.waits(0):
            if len(self.buffer) > wire.MAX_LINE_BYTES:
                raise HostGone("the host does not wait for its answers")
            self._fill()
        if time.monotonic() >= self.next_working:
            self.send(wire.Working())

    def waits(self, limit_s: float) -> bool:
        """Whether the host has sent something (or is gone), within `limit_s`."""
        return bool(select.select([self.input_fd], [], [], limit_s)[0])

    def send_mark(self) -> None:
        """Everything before it is noise; the newline ends a line that noise has begun."""
        self._write(b"\n" + wire.MARK + b"\n")

    def send(self, record: Any) -> None:
        self.send_line(wire.encode(record))

    def send_line(self, line: bytes) -> None:
        """A record that is encoded already."""
        self._write(line)
        self.next_working = time.monotonic() + wire.WORKING_S

    def send_file(self, file: BinaryIO, size_bytes: int) -> None:
        """Exactly `size_bytes`, which have been announced: a file that is cut short leaves nothing to do but to end."""
        while size_bytes:
            data = file.read(min(size_bytes, CHUNK_BYTES))
            if not data:
                raise HostGone("a file became shorter while it was sent")
            self._write(data)
            size_bytes -= len(data)

    def _fill(self) -> None:
        data = os.read(self.input_fd, CHUNK_BYTES)
        if not data:
            raise HostGone("the input ended")
        self.buffer += data

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.output_fd, view) :]
            except BrokenPipeError as error:
                raise HostGone("nobody reads the output") from error
