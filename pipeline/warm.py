"""A process that has imported TensorFlow and computed nothing: children that need it are forked from there, and none of them imports it again.

It is `warm_process`: started when the first child needs it, it ends with us, or when it had nothing to do for a minute. It runs no code but ours: models and functions of the
user's are opened in the forked children alone, each of which is led, watched and ended as one that was started is.

The host sends a packet for each child: a Request, with the descriptors of its stdin, of its log, of its answer and of a pipe for its status. Into
the last one the child writes "p<pid>", once it leads a session of its own, and when it has ended, its parent "e<exit code>".
"""

import atexit
import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline.records import Record

PR_SET_PDEATHSIG = 1  # linux/prctl.h
START_S = 300.0  # importing takes 2 s, and a minute on a machine that others use
LOOK_S = 0.1


class Request(Record, frozen=True):
    function: str  # "module:name"
    folder: str
    memory_bytes: int


class Forked:
    """A child of the warm process, with what is used of subprocess.Popen. `status`: its descriptor, which is closed with it."""

    def __init__(self, pid: int, status: int, kept: bytes) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status
        self._kept = kept

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. subprocess.TimeoutExpired after `timeout` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self._look(LOOK_S)) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def _look(self, seconds: float) -> int | None:
        if self.returncode is None and _readable(self._status, seconds):
            data = os.read(self._status, 64)
            self._kept += data
            if self._kept.startswith(b"e") and self._kept.endswith(b"\n"):
                self.returncode = int(self._kept[1:])
            elif not data:  # the warm process was killed, and its children with it
                self.returncode = -signal.SIGKILL
            if self.returncode is not None:
                os.close(self._status)
        return self.returncode


class _Warm(NamedTuple):
    process: subprocess.Popen[bytes]
    control: socket.socket
    started_in: tuple[int, Path, dict[str, str]]  # process, folder, environment: of no use in others


_LOCK = threading.RLock()  # a second Ctrl-C ends everything, also where this thread is just starting a child
_warm: _Warm | None = None
_former: list[subprocess.Popen[bytes]] = []  # of other environments: each ends after its last child


def fork(request: Request, given: int, log: int, answer: int, environment: dict[str, str]) -> Forked | None:
    """Return a child that calls the function; None where no warm process can be had, as where TensorFlow cannot be imported.

    Blocks until the child runs, START_S at most. `environment` is the child's, but for the memory that it may take.
    """
    for _ in range(2):  # it may end, with nothing to do, just as it is given something
        used = None
        status, theirs = os.pipe()
        try:
            try:
                with _LOCK:
                    used = _started(environment)
                    socket.send_fds(used.control, [msgspec.json.encode(request)], [given, log, answer, theirs])
            finally:
                os.close(theirs)
            found = _forked(status)
        except OSError:
            found = None
        except BaseException:  # Ctrl-C: what it has been given must not begin after us
            _end(used)
            os.close(status)
            raise
        if found is not None:
            return found
        os.close(status)
        _end(used)
    return None


def stop() -> None:
    """End the warm process, and with it its children."""
    _end(_warm)


def _end(ended: _Warm | None) -> None:
    """End this one: another thread may have started the next one already, which stays."""
    global _warm  # noqa: PLW0603 - one for this process
    if ended is None:
        return
    with _LOCK:
        if _warm is ended:
            _warm = None
    if ended.started_in[0] == os.getpid():
        ended.control.close()
        ended.process.kill()
        ended.process.wait()


def _started(environment: dict[str, str]) -> _Warm:
    """Return the warm process, which is started if there is none for this environment."""
    global _warm  # noqa: PLW0603 - one for this process
    here = os.getpid(), Path.cwd(), environment
    if _warm is not None and _warm.started_in == here and _warm.process.poll() is None:
        return _warm
    if _warm is not None:
        _warm.control.close()
        _former.append(_warm.process)
    _former[:] = [each for each in _former if each.poll() is None]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline.warm_process", str(theirs.fileno()), str(os.getpid())],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            start_new_session=True, env=environment,
        )  # fmt: skip
    _warm = _Warm(process, ours, here)
    return _warm


def _forked(status: int) -> Forked | None:
    """Return the child when it runs; None if it never will."""
    kept, until = b"", time.monotonic() + START_S
    while time.monotonic() < until:
        if _readable(status, LOOK_S):
            data = os.read(status, 64)
            kept += data
            if not data:
                return None
            first, line, rest = kept.partition(b"\n")
            if line:
                return Forked(int(first[1:]), status, rest) if first.startswith(b"p") else None
    return None


def die_with(parent: int) -> None:
    """Let this process be killed when its parent dies, also with SIGKILL. It ends at once if the parent is dead already."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _readable(descriptor: int, seconds: float) -> bool:
    ready = select.poll()  # select.select knows only the first 1,024 descriptors
    ready.register(descriptor, select.POLLIN)
    return bool(ready.poll(int(1000 * seconds)))


atexit.register(stop)
