"""Functions that tests run in a child process: each goes wrong in a way of its own. `argument` is a TensorSpec, whose texts they use."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from pipeline.errors import DataError
from pipeline.records import TensorSpec
from pipeline.store import Store


def echo(argument: TensorSpec, tell) -> TensorSpec:
    print("noise on stdout")
    tell(1, 2, "half")
    return argument


def refuses(argument: TensorSpec, tell) -> TensorSpec:
    raise DataError("no good", hint="better")


def raises(argument: TensorSpec, tell) -> TensorSpec:
    raise ValueError("of no kind that we know")


def crashes(argument: TensorSpec, tell) -> TensorSpec:
    warnings.warn("a library has a new interpreter", stacklevel=1)
    ctypes.string_at(0)


def killed(argument: TensorSpec, tell) -> TensorSpec:
    Store(Path(argument.name), tmp=Path(argument.dtype)).tmp.joinpath("half").write_text("written")
    os.kill(os.getpid(), signal.SIGKILL)


def sleeps(argument: TensorSpec, tell) -> TensorSpec:
    tell(0, 0, "asleep")
    time.sleep(600)


def talks(argument: TensorSpec, tell) -> TensorSpec:
    while True:
        tell(0, 0, "still there")
        time.sleep(0.01)


def grows(argument: TensorSpec, tell) -> TensorSpec:
    kept = [np.ones(2**20) for _ in range(2000)]
    return argument if kept else None


def grows_in_another(argument: TensorSpec, tell) -> TensorSpec:
    process = multiprocessing.get_context("fork").Process(target=grows, args=(argument, tell))
    process.start()
    process.join()


def maps(argument: TensorSpec, tell) -> TensorSpec:
    rows = np.memmap(argument.name, mode="r", dtype=np.uint8)
    assert int(rows.sum()) == 0
    time.sleep(0.5)
    return argument


def overwrites(argument: TensorSpec, tell) -> TensorSpec:
    for number in range(3, 4096):
        with contextlib.suppress(OSError):
            os.write(number, b"nonsense\n")
    return argument


def overwrites_low(argument: TensorSpec, tell) -> TensorSpec:
    for number in range(3, 64):
        with contextlib.suppress(OSError):
            os.write(number, b"nonsense\n")
    return argument


def answer_pipe() -> int:
    """The descriptor of the pipe that the answer goes through: it has a high number."""
    (number,) = [int(path.name) for path in Path("/proc/self/fd").iterdir() if int(path.name) > 500]
    return number


def floods(argument: TensorSpec, tell) -> TensorSpec:
    number = answer_pipe()
    while True:
        os.write(number, b"x" * 65536)


def closes(argument: TensorSpec, tell) -> TensorSpec:
    os.closerange(3, 4096)
    return argument


def closes_and_stays(argument: TensorSpec, tell) -> TensorSpec:
    os.closerange(3, 4096)
    time.sleep(600)


def forges(argument: TensorSpec, tell) -> TensorSpec:
    number = answer_pipe()
    os.write(number, argument.name.encode() + b"\n")
    time.sleep(600)


def vanishes(argument: TensorSpec, tell) -> TensorSpec:
    print("the last words")
    sys.stdout.flush()
    os._exit(0)


def leaves_one_behind(argument: TensorSpec, tell) -> TensorSpec:
    if os.fork():
        os._exit(3)
    time.sleep(600)


def prints(argument: TensorSpec, tell) -> TensorSpec:
    for _ in range(60):
        sys.stdout.write("y" * 2**20)
        time.sleep(0.02)  # else it has ended before anybody looks
    return argument


def buries(argument: TensorSpec, tell) -> TensorSpec:
    raise ValueError("the cause\n" + "\n".join(f"advice {i}" for i in range(40)) + "x" * 5000)


def where(argument: TensorSpec, tell) -> TensorSpec:
    return TensorSpec(name=str(Path.cwd()), shape=(), dtype=str(signal.getsignal(signal.SIGINT)))


def parent_and_modules(argument: TensorSpec, tell) -> TensorSpec:
    """Its parent, "tensorflow" where that was imported before, and a random number."""
    imported = "tensorflow" if hasattr(sys.modules.get("tensorflow"), "Module") else ""
    return TensorSpec(name=str(os.getppid()), shape=(), dtype=imported, tensor=str(np.random.default_rng().random()))


def runs_out(argument: TensorSpec, tell) -> TensorSpec:
    np.empty(2**60, np.uint8)


TAKES = "import os, time; kept = bytearray(os.urandom(1) * (200 << 20)); print(flush=True); time.sleep(600)"


def starts(argument: TensorSpec, tell) -> TensorSpec:
    """A program in a session of its own; its number goes into the file `argument.name`."""
    started = subprocess.Popen([sys.executable, "-c", TAKES], start_new_session=True, stdout=subprocess.PIPE)
    started.stdout.readline()
    Path(argument.name).write_text(str(started.pid))
    if argument.dtype == "stays":
        time.sleep(600)
    return argument


def has_no_room(argument: TensorSpec, tell) -> TensorSpec:
    raise OSError(int(argument.name), os.strerror(int(argument.name)))
