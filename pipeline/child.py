"""Run one function in a child process: native converters crash, print and leak, and none of that may reach us.

The function is named "module:function", takes one Record and a `tell(done, of, note)` callback, and returns a Record. Its
answer comes back over a pipe of its own; what it prints is kept aside and shown only when it fails. `-P` keeps a user's
onnx.py in the working folder from shadowing the package.
"""

import contextlib
import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import IO, TypeVar

import msgspec

from pipeline.errors import KINDS, ChildError, EdgepressError
from pipeline.records import Record

R = TypeVar("R", bound=Record)
Tell = Callable[[int, int, str], None]

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LAST_LINES = 12
ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "PYTHONHASHSEED": "0",  # converters go through sets of names: the same model must give the same file
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # its sums change from run to run
}

_LIVE: set[subprocess.Popen[bytes]] = set()


def kill_all() -> None:
    """Kill every child of this process: for a caller who runs several in threads and gives up on all of them."""
    for process in tuple(_LIVE):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def run(function: str, argument: Record, kind: type[R], tell: Tell, *, doing: str) -> R:
    """Call `function(argument, tell)` in a child and return its answer.

    Raises what the function raised if that is an EdgepressError; ChildError if the child died or raised anything else.
    `doing` completes "... failed while ..." in the message.
    """
    with tempfile.TemporaryFile() as log, contextlib.ExitStack() as stack:
        read_end, write_end = os.pipe()
        answers = stack.enter_context(os.fdopen(read_end, "rb"))
        with os.fdopen(write_end, "wb"):
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pipeline.child", function, str(write_end), str(os.getpid())],
                stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=[write_end], start_new_session=True,
                env=os.environ | ENVIRONMENT,
            )  # fmt: skip
            stack.callback(_end, process)
            _LIVE.add(process)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(msgspec.json.encode(argument))
        for line in answers:
            if not line.endswith(b"\n"):
                break  # it died in the middle of a word
            message = json.loads(line)
            if "tell" in message:
                tell(*message["tell"])
            elif "error" in message:
                raise KINDS[message["error"]](message["message"], hint=message["hint"])
            else:
                return msgspec.convert(message["answer"], kind)
        raise _death(process.wait(), log, doing)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _LIVE.discard(process)


def _death(code: int, log: IO[bytes], doing: str) -> ChildError:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()[-LAST_LINES:]
    if code < 0:
        name = signal.Signals(-code).name
        why = f"its process was killed by {name}"
        hint = {
            "SIGKILL": "Was it stopped by hand, or did the machine run out of memory? Free memory and run again.",
            "SIGSEGV": "The native library crashed on this model; nothing was written. Try another format or version.",
        }.get(name, "Nothing was written; run again, and report it if it happens twice.")
    else:
        why, hint = f"its process ended with exit code {code}", "The lines above are the last that it printed."
    printed = "".join(f"\n    {line}" for line in lines)
    return ChildError(f"{doing} failed: {why}{printed}", hint=hint)


def _main(function: str, descriptor: int, parent: int) -> None:
    """In the child."""
    with contextlib.suppress(OSError, AttributeError):  # die with the parent, also when it is killed with SIGKILL
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)
    answers = os.fdopen(descriptor, "w", buffering=1)

    def tell(done: int, of: int, note: str) -> None:
        answers.write(json.dumps({"tell": [done, of, note]}) + "\n")

    module, _, name = function.partition(":")
    called = getattr(importlib.import_module(module), name)
    kind = called.__annotations__["argument"]
    try:
        answer = called(msgspec.json.decode(sys.stdin.buffer.read(), type=kind), tell)
    except EdgepressError as error:
        answers.write(json.dumps({"error": type(error).__name__, "message": error.message, "hint": error.hint}) + "\n")
    except OSError as error:
        told = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        hint = "Is there room on the disk, and may you write there? Then run again."
        answers.write(json.dumps({"error": "StageError", "message": told, "hint": hint}) + "\n")
    else:
        answers.write(json.dumps({"answer": msgspec.to_builtins(answer)}) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
