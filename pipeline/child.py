"""Run one function in a child process: native converters crash, hang, print and leak, and none of that may reach us.

The function is one of a module's own, takes one Record and a `tell(done, of, note)` callback, and returns a Record. Its
answer comes back over a pipe of its own; what it prints is kept aside and shown only when it fails. `-P` keeps a user's
onnx.py in the working folder from shadowing the package. Its time and memory are bounded: `child_watch`.
"""

import contextlib
import fcntl
import importlib
import os
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeVar

import msgspec

from pipeline import bounds, child_watch, warm
from pipeline.child_watch import Bounds, Process, Say, Watch, of_plan
from pipeline.errors import KINDS, OS_HINTS, ChildError, EdgepressError
from pipeline.plan_tables import HostTable
from pipeline.records import Record
from pipeline.safe_text import clean_lines, shortened

A = TypeVar("A", bound=Record)
R = TypeVar("R", bound=Record)
Tell = Callable[[int, int, str], None]

LAST_LINES = 12
LAST_BYTES = 64 * 1024
MOST_ANSWER_BYTES = 64 * 2**20  # the largest answers, of a long chain of passes, have some hundred KB
MESSAGE_MOST = 2000  # characters
NO_ANSWER = 76  # a child's exit code when it cannot answer: EX_PROTOCOL of sysexits.h
CAUSE = re.compile(r"(?:[\w.]*(?:Error|Exception)\b: |terminate called |.*\b[Cc]heck failed\b|LLVM ERROR).*")
ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "PYTHONHASHSEED": "0",  # converters go through sets of names: the same model must give the same file
    "PYTHONWARNINGS": "ignore",  # of libraries: the last lines of a child that crashes are shown, and those say nothing of it
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # its sums change from run to run
}
CRASHED = "The native library crashed on this model; nothing was written. Try another format or version."

_LIVE: set[Process] = set()


class Reply(Record, frozen=True):
    """One line of a child: news, its answer, or why there is none."""

    tell: tuple[int, int, str] | None = None
    answer: Any = None
    error: str | None = None
    message: str = ""
    hint: str = ""


def kill_all() -> None:
    """Kill every child of this process: for a caller who runs several in threads and gives up on all of them."""
    for process in tuple(_LIVE):
        _kill(process)
    warm.stop()  # a child may be about to begin there


def run(
    function: Callable[[A, Tell], R],
    argument: A,
    kind: type[R],
    tell: Tell,
    *,
    doing: str,
    limits: Bounds | None = None,
    say: Say = lambda _: None,
    folder: str | None = None,
    crashed: str = CRASHED,
    fault: type[EdgepressError] = ChildError,
    imports_tensorflow: bool = False,
) -> R:
    """Call `function(argument, tell)` in a child and return its answer.

    Raises what the function raised if that is an EdgepressError; ChildError if the child died, raised anything else, or took
    more than `limits`. `doing` completes "... failed: ..." in the message; `say` gets a line when nothing is heard for long;
    `folder` is where the child works (None: where we do); `crashed` is the hint when native code crashed; `fault` is what it is
    when the child gives no answer: with a function of the user's in the child, it is that function's. `imports_tensorflow`: it
    certainly will, so that the child is better forked where that was done.
    """
    limits = limits or of_plan(HostTable())
    with tempfile.TemporaryFile() as log, tempfile.TemporaryFile() as given, contextlib.ExitStack() as stack:
        fcntl.fcntl(log, fcntl.F_SETFL, fcntl.fcntl(log, fcntl.F_GETFL) | os.O_APPEND)
        given.write(msgspec.json.encode(argument))  # a file: a child that never reads must not hold us up
        given.seek(0)
        read_end, write_end = os.pipe()
        stack.callback(os.close, read_end)
        try:
            process = _started(function, given, log, write_end, limits, folder, forked=imports_tensorflow)
            stack.callback(_end, process)
            _LIVE.add(process)
        finally:
            os.close(write_end)
        watch = Watch(process, log, limits, doing, say)
        stack.callback(watch.end)
        for line in _lines(read_end, watch, fault):
            try:
                reply = msgspec.json.decode(line, type=Reply)
                if reply.answer is not None:
                    return msgspec.convert(reply.answer, kind)
                error = None if reply.error is None else KINDS[reply.error](reply.message, hint=reply.hint)
            except (msgspec.DecodeError, KeyError) as wrong:
                raise _garbage(line, doing, fault) from wrong
            if error is not None:
                raise error
            if reply.tell is not None:
                watch.news(reply.tell[2])
                tell(*reply.tell)
        raise _death(watch, crashed, fault)


def _started(
    function: Callable[[A, Tell], R],
    given: IO[bytes],
    log: IO[bytes],
    write_end: int,
    limits: Bounds,
    folder: str | None,
    *,
    forked: bool,
) -> Process:
    name, environment = f"{function.__module__}:{function.__name__}", os.environ | ENVIRONMENT
    if forked:
        request = warm.Request(function=name, folder=folder or "", memory_bytes=limits.memory_bytes)
        process = warm.fork(request, given.fileno(), log.fileno(), write_end, environment)
        if process is not None:
            return process
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "pipeline.child", name, str(write_end), str(os.getpid()), folder or ""],
        stdin=given, stdout=log, stderr=log, pass_fds=[write_end], start_new_session=True,
        env=environment | {bounds.VARIABLE: str(limits.memory_bytes)},
    )  # fmt: skip


def _lines(pipe: int, watch: Watch, fault: type[EdgepressError]) -> Iterator[bytes]:
    """Whole lines from a child, until it ends; all the time it is watched."""
    ready = select.poll()  # select.select knows only the first 1,024 descriptors
    ready.register(pipe, select.POLLIN)
    kept = bytearray()
    while True:
        ended = watch.process.poll() is not None  # looked at before reading: what it wrote until then is in the pipe
        if ready.poll(0 if ended else 100):
            data = os.read(pipe, 2**16)
            if not data:
                return
            searched = len(kept)
            kept += data
            while (end := kept.find(b"\n", searched)) >= 0:
                yield bytes(kept[:end])
                del kept[: end + 1]
                searched = 0
            if len(kept) > MOST_ANSWER_BYTES:
                raise _garbage(bytes(kept[:200]), watch.doing, fault)
        elif ended:  # something that it started still holds the pipe
            return
        watch.look()


def _kill(process: Process) -> None:
    """Kill it with all that it has started, also in sessions of their own: nothing of it runs on when it is given up."""
    started = child_watch.family(process.pid) - {process.pid} if process.poll() is None else set()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for each in started:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(each, signal.SIGKILL)


def _end(process: Process) -> None:
    _kill(process)
    process.wait()
    _LIVE.discard(process)


def _garbage(line: bytes, doing: str, fault: type[EdgepressError]) -> EdgepressError:
    return fault(
        f"{doing} failed: where its answer was expected, its process wrote {shortened(repr(line), 100)}",
        hint="Something in it writes to a descriptor that it did not open, such as a function of [data]: let it write to "
        "files that it opens itself, or print.",
    )


def _death(watch: Watch, crashed: str, fault: type[EdgepressError]) -> EdgepressError:
    try:
        code = watch.process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        code = NO_ANSWER
    if code == NO_ANSWER:
        return fault(
            f"{watch.doing} failed: the descriptor by which its process answers was closed",
            hint="Something in it closes descriptors that it did not open, such as a function of [data].",
        )
    if code < 0:
        name = signal.Signals(-code).name
        why = f"its process was killed by {name}{f' ({watch.note})' if watch.note else ''}"
        hint = {
            "SIGKILL": "Was it stopped by hand, or did the machine run out of memory? Free memory and run again.",
            "SIGSEGV": crashed, "SIGABRT": crashed, "SIGBUS": crashed, "SIGFPE": crashed, "SIGILL": crashed,
        }.get(name, "Nothing was written; run again, and report it if it happens twice.")  # fmt: skip
    else:
        why, hint = f"its process ended with exit code {code}", "The lines above are the last that it printed."
    last = _last(watch.log)
    if code == 0 or (code > 0 and not last):  # our own code ends with an answer, or with a traceback
        hint = (
            "Something in it ends the process before it has answered, such as a function of [data] that calls os._exit."
        )
    return (fault if code == 0 else ChildError)("\n    ".join((f"{watch.doing} failed: {why}", *last)), hint=hint)


def _last(log: IO[bytes]) -> list[str]:
    """Return the last lines that a child printed, and before them the cause that stands further up."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_BYTES))
    lines = [shortened(line, 300) for line in log.read().decode(errors="replace").strip().splitlines()]
    earlier, last = lines[:-LAST_LINES], lines[-LAST_LINES:]
    causes = [] if any(map(CAUSE.match, last)) else [line for line in earlier if CAUSE.match(line)][-1:]
    return [*causes, *(["..."] if causes else []), *last]


# --- in the child


def answer_with(function: str, descriptor: int, parent: int, folder: str) -> None:
    """Call the function with what stdin has, and answer by the descriptor."""
    warm.die_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job is started with SIGINT ignored
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    pipe = _out_of_reach(descriptor)

    def answer(reply: Reply) -> None:
        try:
            pipe.write(msgspec.json.encode(reply) + b"\n")
            pipe.flush()
        except OSError:  # closed by what we called
            os._exit(NO_ANSWER)

    def tell(done: int, of: int, note: str) -> None:
        answer(Reply(tell=(done, of, shortened(note, 300))))

    def refuse(kind: str, message: str, hint: str) -> None:
        answer(
            Reply(error=kind, message=shortened(clean_lines(message), MESSAGE_MOST), hint=shortened(hint, MESSAGE_MOST))
        )

    if folder:
        os.chdir(
            folder
        )  # libraries leave files in the working folder; paths of ours and of sys.path are absolute by now
    module, _, name = function.partition(":")
    called = getattr(importlib.import_module(module), name)
    kind = called.__annotations__["argument"]
    try:
        found = called(msgspec.json.decode(sys.stdin.buffer.read(), type=kind), tell)
    except EdgepressError as error:
        known = next(each.__name__ for each in type(error).__mro__ if each.__name__ in KINDS)
        refuse(known, error.message, error.hint)
    except MemoryError as error:
        hint = (
            f"It may take {bounds.memory_bytes():,} bytes. Give it less, or raise memory_bytes in [host] of the plan."
        )
        refuse("ChildError", f"there is not enough memory: {error or 'no more could be had'}", hint)
    except OSError as error:
        told = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        refuse("StageError", told, OS_HINTS.get(error.errno or 0, "Run again; report it if it happens twice."))
    else:
        answer(Reply(answer=found))


def _out_of_reach(descriptor: int) -> IO[bytes]:
    """Return the pipe of the answer under a high number, which no program that is started gets: a function of the user's may
    close or write to the small ones, as daemons do.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(descriptor, min(soft, 1024) - 8))
    os.close(descriptor)
    return os.fdopen(high, "wb")


if __name__ == "__main__":
    answer_with(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
