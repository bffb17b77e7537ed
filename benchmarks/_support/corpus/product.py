"""edgepress on a model: the plan, the command, and what its record says of the answers."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._support.corpus.cases import Case
from benchmarks._support.corpus.plain import Plain

LIMIT_S = 900
PLAN = """[model]
path = {path}
{model}{data}
[convert]
formats = {formats}
[board]
name = "local"
[measure]
launches = 1
timed_seconds = 0.01
operators = false
steps = false
meters = []
[host]
minutes = 10
memory_bytes = 10_000_000_000
"""
GOLDEN_ROWS, GOLDEN_VALUES = 4, 64  # device_agent/wire.py
# Of what edgepress says of a measurement: that the board did not answer the rows, and that its answers are wrong.
UNANSWERED = ("no accuracy",)
DOUBTED = ("golden differs", "answers that are not numbers", "other answers than on the host")
BOARD = 4  # exit code: trouble with a board, which here can only come from the model
# Sentences of a product that was surprised, though it did say something.
SURPRISED = re.compile(r"Traceback \(most recent|its process was killed by|its process ended with|it took more than")


_RUNNING: set[subprocess.Popen[bytes]] = set()


def stop_all() -> None:
    """End what runs, as Ctrl-C does: what it says then is nothing about a model."""
    for process in tuple(_RUNNING):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


@dataclass(frozen=True)
class Ran:
    code: int  # negative: the signal that ended it
    record: dict | None
    words: str  # of stderr
    seconds: float
    state: Path
    too_long: bool = False

    @property
    def crashed(self) -> str:
        if self.too_long:
            return f"no end after {LIMIT_S} s"
        if self.code < 0:
            return f"ended by {signal.Signals(-self.code).name}"
        surprised = self.code == BOARD or SURPRISED.search(self.words)
        return sentence(self.words) if self.record is None and surprised else ""


@dataclass(frozen=True)
class Answer:
    """What edgepress has of one output of one file."""

    format: str
    where: str  # load (the model itself), host or board
    output: int  # in the order of the record
    name: str
    values: np.ndarray  # (rows, ...); of a board that tells only the first values, these in one axis
    cut: int = 0  # of the board: how many values of each of the first rows it tells; 0: all


def run(case: Case, plain: Plain, edgepress: str, job: Path) -> Ran:
    """Run the plan. A job has a board and a lock of its own below its folder, so that several run at a time: none of these
    measurements is one of latency.
    """
    folder, lock = job / "plan", job / "lock"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lock.mkdir(exist_ok=True)
    wheels = job / "cache" / "edgepress" / "wheels"  # of the runtimes: fetched once for all jobs
    if not wheels.exists():
        wheels.parent.mkdir(parents=True, exist_ok=True)
        (job.parent / "wheels").mkdir(exist_ok=True)
        wheels.symlink_to(job.parent / "wheels")
    data, model = "", ""
    if plain.said.get("written"):
        shutil.copy(plain.folder / "rows.npz", folder / "rows.npz")
        finite = all(map(_finite, (folder / "rows.npz", plain.folder / "reference.npz")))
        data = '[data]\nevaluation = "rows.npz"' + ("" if finite else "\nnonfinite = true")
        model = "".join(f"{key} = {_toml(value)}\n" for key, value in plain.said["model"].items())
    plan = PLAN.format(path=json.dumps(str(case.path)), model=model, data=data, formats=list(case.formats))
    (folder / "plan.toml").write_text(plan)
    command = [edgepress, "run", "plan.toml", "--json", "-q", "--state", "state", "--out", "out"]
    began = time.monotonic()
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
            env=os.environ | {"EDGEPRESS_LOCK_FOLDER": str(lock), "XDG_CACHE_HOME": str(job / "cache")},
        )  # fmt: skip
        _RUNNING.add(process)
        too_long = _ended(process)
        _RUNNING.discard(process)
    try:
        record = json.loads((folder / "stdout").read_bytes())
    except ValueError:
        record = None
    words = (folder / "stderr").read_text(errors="replace")
    return Ran(process.returncode, record, words, time.monotonic() - began, folder / "state", too_long)


def _finite(arrays: Path) -> bool:
    with np.load(arrays, allow_pickle=False) as members:
        return all(array.dtype.kind != "f" or np.isfinite(array).all() for array in members.values())


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Wait for it, and end it and what it has started; return whether it took too long."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(LIMIT_S)
    too_long = process.poll() is None
    if too_long:
        os.killpg(process.pid, signal.SIGTERM)  # it ends its children and the board's job itself
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return too_long


def answers(ran: Ran) -> Iterator[Answer]:
    """Yield what the record holds of the answers, on the host and from the board.

    With `not_measured` and `doubted` the only function that knows the record. It keeps the host's answers for all rows, one file
    for each output (Model.answers, Converted.answers), and of the board's the first values of the first rows, those of all outputs
    in one list (Measurement.golden, wire.GOLDEN_ROWS, GOLDEN_VALUES). How the board's other answers compare with the host's, its
    doubts say.
    """
    assert ran.record is not None
    model = ran.record["loaded"]["model"]
    host: dict[str, list[Answer]] = {}
    for form, where, of in [
        (model["artifact"]["format"], "load", model),
        *((each["format"], "host", each) for each in ran.record["converted"]),
    ]:
        host[form] = [
            Answer(form, where, number, spec["name"], np.load(ran.state / "store" / kept["sha256"], allow_pickle=False))
            for number, (spec, kept) in enumerate(zip(of["outputs"], of["answers"], strict=False))
        ]
        yield from host[form]
    for measured in ran.record["measured"]["measurements"]:
        if measured["golden"] is not None:
            yield from _first(measured, host.get(measured["format"], []), steps=model["sequences"])


def _first(measured: dict, host: list[Answer], *, steps: bool) -> Iterator[Answer]:
    """Split what a measurement says of all outputs, row by row, into the outputs."""
    left, cut = list(measured["golden"]), max(1, GOLDEN_VALUES // max(1, len(host)))
    found: list[list[float]] = [[] for _ in host]
    for row in range(min((GOLDEN_ROWS, *(len(each.values) for each in host)))):
        values = GOLDEN_VALUES
        for each, of_output in zip(host, found, strict=True):
            first = each.values[row][0] if steps else each.values[row]
            count = min(np.size(first), cut, values)
            of_output.extend(left[:count])
            del left[:count]
            values -= count
    if found:
        found[-1].extend(left)  # more than there should be is one answer of another size
    for each, of_output in zip(host, found, strict=True):
        if of_output or not each.values.size:
            yield Answer(measured["format"], "board", each.output, each.name, np.array(of_output), cut)


def not_measured(ran: Ran) -> str:
    """Return why a board did not run a file, or did not answer its rows; "" where it ran all of them."""
    assert ran.record is not None
    measured = ran.record["measured"]
    said = [f"{each['format']}: {each['evidence']}" for each in measured["failures"]]
    return "; ".join([*said, *_doubts(ran, UNANSWERED)])


def doubted(ran: Ran) -> str:
    """Return why edgepress itself calls answers of the board wrong; "" where it does not."""
    return "; ".join(_doubts(ran, DOUBTED))


def _doubts(ran: Ran, kinds: tuple[str, ...]) -> list[str]:
    assert ran.record is not None
    return [
        f"{each['format']}: {doubt['evidence']}"
        for each in ran.record["measured"]["measurements"] for doubt in each["doubts"] if doubt["what"] in kinds
    ]  # fmt: skip


def sentence(words: str) -> str:
    """Return the message of an error without its hint and the lines that follow."""
    lines = [line for line in words.splitlines() if line.strip()]
    if any(line.startswith("Traceback") for line in lines):
        return lines[-1]
    said = [line for line in lines if line.startswith("edgepress: ")]
    return (said or lines or ["it said nothing"])[-1].removeprefix("edgepress: ")[:600]
