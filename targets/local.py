"""The link to this machine: the same agent, as a child process."""

import contextlib
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Sequence

from targets import diagnosis
from targets.errors import ConnectionLost, NoPython

STDERR_TAIL_BYTES = 4000


class LocalChannel:
    def __init__(self, argv: Sequence[str]) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the channel
        # A session of its own: Ctrl-C reaches edgepress, which then ends the agent in order.
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise NoPython(
                f"{argv[0]} cannot be started on this machine: {error.strerror}",
                hint="It is the Python that edgepress was installed with: install edgepress again, with an existing one.",
            ) from error

        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)

    def send(self, data: bytes | memoryview, timeout_s: float) -> int:
        assert self._process.stdin is not None
        try:
            if not select.select([], [self._process.stdin], [], timeout_s)[1]:
                raise TimeoutError
            return self._process.stdin.write(data) or 0
        except (BrokenPipeError, ValueError) as error:
            raise ConnectionLost(
                f"the agent on this machine ended unexpectedly{diagnosis.quoted(diagnosis.last_words(self.errors()))}",
                hint="Run again.",
            ) from error

    def receive(self, limit_bytes: int, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout_s)[0]:
            raise TimeoutError
        return os.read(self._process.stdout.fileno(), limit_bytes)

    def errors(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - STDERR_TAIL_BYTES))
        return self._stderr.read().decode(errors="replace").strip()

    def finish(self, timeout_s: float) -> int | None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


class LocalLink:
    address = "this machine"

    def start(self, argv: Sequence[str]) -> LocalChannel:
        return LocalChannel(argv)

    def close(self) -> None:
        """Do nothing: there is no connection."""
