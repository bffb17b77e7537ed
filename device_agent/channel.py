"""The two pipes to the host: lines and raw bytes in, records and files out. The end of the input raises HostGone everywhere."""

from __future__ import annotations

import os
import select
import time

from device_agent import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

CHUNK_BYTES = 1 << 16
SILENT_S = 30.0  # in the middle of an upload; the host gives up a silent link after 45


class HostGone(Exception):
    """The host has gone, or the stream is out of step: stop everything, clean up, exit."""


class Refused(Exception):
    """A request that cannot be served; it becomes wire.Failure."""

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
        """Return the next line without its end. WireError if it is too long; it is skipped then."""
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
        """Read `size` bytes of an upload. HostGone also if the host falls silent: its upload holds a lock."""
        data = bytearray(size)
        view = memoryview(data)
        have = min(size, len(self.buffer))
        view[:have] = self.buffer[:have]
        del self.buffer[:have]
        while have < size:
            if not self.has_input(SILENT_S):
                raise HostGone(f"the host has sent nothing for {SILENT_S:g} s in the middle of an upload")
            got = os.readv(self.input_fd, [view[have:]])
            if not got:
                raise HostGone("the input ended")
            have += got
        return data

    def check(self) -> None:
        """During long work, tell the host from time to time that we are working. HostGone if it has closed its end. Never blocks.

        Input that has arrived is kept.
        """
        while self.has_input(0):
            if len(self.buffer) > wire.MAX_LINE_BYTES:
                raise HostGone("the host does not wait for its answers")
            self._fill()
        if time.monotonic() >= self.next_working:
            self.send(wire.Working())

    def has_input(self, limit_s: float) -> bool:
        """Whether the host sends something, or disconnects, within `limit_s`."""
        return bool(select.select([self.input_fd], [], [], limit_s)[0])

    def send_mark(self) -> None:
        """Send the mark: everything before it is noise; the newline ends a line that noise may have begun."""
        self._write(b"\n" + wire.MARK + b"\n")

    def send(self, record: Any) -> None:
        self.send_line(wire.encode(record))

    def send_line(self, line: bytes) -> None:
        """Send a record that is already encoded."""
        self._write(line)
        self.next_working = time.monotonic() + wire.WORKING_S

    def send_file(self, file: BinaryIO, size_bytes: int) -> None:
        """Send exactly the `size_bytes` that were announced. HostGone if the file is shorter: the stream cannot recover."""
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
