"""The process that `warm` speaks with: it imports TensorFlow, waits for requests, and forks a child for each."""

import contextlib
import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import NoReturn

import msgspec

from pipeline import bounds, child, warm

IDLE_S = 60.0
MOST_REQUEST_BYTES = 64 * 1024
LOOK_S = 0.1  # how often it looks after its parent when nobody speaks with it any more
IMPORTED = ("tensorflow", "keras")


def main(control: socket.socket, parent: int) -> None:
    warm.die_with(parent)  # while it cannot hear that the parent has gone; it is bound to the thread that started us
    for name in IMPORTED:
        importlib.import_module(name)
    ctypes.CDLL(None).prctl(warm.PR_SET_PDEATHSIG, 0)
    gc.collect()
    gc.freeze()  # else the first collection in each child would copy all of these pages
    _Serving(control, parent).serve()


class _Serving:
    def __init__(self, control: socket.socket, parent: int) -> None:
        self.control: socket.socket | None = control
        self.parent = parent
        self.children: dict[int, int] = {}  # process -> the pipe of its status
        self.woken, wake = os.pipe()  # by the end of a child
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Return when there is nothing to do for long, or nobody to do it for; what the parent left running is killed with us."""
        until = time.monotonic() + IDLE_S
        while os.getppid() == self.parent and (self.children or (self.control and time.monotonic() < until)):
            ready = select.poll()
            ready.register(self.woken, select.POLLIN)
            if self.control:
                ready.register(self.control, select.POLLIN)
            heard = {descriptor for descriptor, _ in ready.poll(1000 * (IDLE_S if self.control else LOOK_S))}
            if self.woken in heard:
                os.read(self.woken, 4096)
            if self.control and self.control.fileno() in heard:
                self._hear(self.control)
            if self._bury() or heard:
                until = time.monotonic() + IDLE_S

    def _hear(self, control: socket.socket) -> None:
        data, descriptors, _, _ = socket.recv_fds(control, MOST_REQUEST_BYTES, 4)
        if not data:
            control.close()
            self.control = None
            return
        request = msgspec.json.decode(data, type=warm.Request)
        given, log, answer, status = descriptors
        process = os.fork()
        if process == 0:
            self._child(request, given, log, answer, status)
        self.children[process] = status
        for each in (given, log, answer):
            os.close(each)

    def _bury(self) -> bool:
        """Report each child that has ended. Return whether one has."""
        found = False
        while self.children:
            process, how = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                break
            found = True
            status = self.children.pop(process)
            with contextlib.suppress(BrokenPipeError):  # it was given up
                os.write(status, b"e%d\n" % os.waitstatus_to_exitcode(how))
            os.close(status)
        return found

    def _child(self, request: warm.Request, given: int, log: int, answer: int, status: int) -> NoReturn:
        code = 1
        try:
            parent = os.getppid()
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for to, descriptor in ((0, given), (1, log), (2, log)):
                os.dup2(descriptor, to)
            os.write(status, b"p%d\n" % os.getpid())
            if self.control:
                self.control.close()
            for each in (given, log, status, self.woken, *self.children.values()):
                os.close(each)
            os.environ[bounds.VARIABLE] = str(request.memory_bytes)
            sys.modules["numpy"].random.seed()  # else each child would draw the same
            child.answer_with(request.function, answer, parent, request.folder)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:  # noqa: BLE001 - as the interpreter does it
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
