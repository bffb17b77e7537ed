"""The figures that a benchmark prints are also kept: one file for each script, `benchmarks/results/<script>.json`.

    with results(__file__) as add:
        add("edgepress --help", 0.06, "s", note="median of 11 processes")

EDGEPRESS_RESULTS names another folder, for a run that is only a try.

Format history, newest first:
1   {"schema": 1, "figures": [...]}, each with the fields of Figure
"""

import contextlib
import datetime as dt
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from benchmarks._support.machine import processor

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("EDGEPRESS_RESULTS") or ROOT / "benchmarks" / "results")
SCHEMA = 1


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One number. Two figures of one script with the same `figure` and `of` are one figure that was measured twice."""

    figure: str  # what was measured
    of: str = ""  # the case, where there are several: a row of a table whose columns are the figures
    value: float
    unit: str  # "s", "%", "points", "of 305"; ratios are "x faster", "x smaller", "x slower"
    interval: tuple[float, float] | None = None  # in the same unit
    interval_is: str = ""  # "95 %", "range of 5 rounds", "sd over 3 seeds"
    machine: str
    load: str = ""  # load average before and after; "" where it was not recorded
    commit: str  # "8c92e9e", with "+" after it where files had been changed since
    date: str
    command: str  # as it was run at that commit
    note: str = ""


class Results(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: int = SCHEMA
    figures: tuple[Figure, ...]


Add = Callable[..., None]


def path_of(script: str) -> Path:
    return FOLDER / f"{Path(script).stem}.json"


def read(path: Path) -> tuple[Figure, ...]:
    return msgspec.json.decode(path.read_bytes(), type=Results).figures if path.exists() else ()


@contextlib.contextmanager
def results(script: str) -> Iterator[Add]:
    """Yield `add(figure, value, unit, of=, interval=, interval_is=, note=)`, which keeps a figure of this script (`__file__`).

    The file is written when the block ends without an error. A figure that this run did not measure stays as it was, with the commit
    that it was measured at.
    """
    found: dict[tuple[str, str], dict[str, object]] = {}
    before, measured = os.getloadavg()[0], commit()

    def add(figure: str, value: float, unit: str, *, of: str = "", **more: object) -> None:
        found[figure, of] = {"figure": figure, "of": of, "value": value, "unit": unit, **more}

    yield add
    where = {
        "machine": processor(),
        "load": f"{before:.1f} to {os.getloadavg()[0]:.1f}",
        "commit": measured,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "command": command(script),
    }
    new = {key: msgspec.convert(one | where, Figure) for key, one in found.items()}
    old = {(one.figure, one.of): one for one in read(path_of(script))}
    write(path_of(script), tuple((old | new).values()))


def change(times_faster: float, digits: int = 2) -> tuple[float, str]:
    """Return a ratio as it is said everywhere: (3.57, "x faster"), or (1.14, "x slower") where it is below one."""
    if times_faster < 1:
        return round(1 / times_faster, digits), "x slower"
    return round(times_faster, digits), "x faster"


def write(path: Path, figures: tuple[Figure, ...]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(Results(figures=figures)), indent=1) + b"\n")


def command(script: str) -> str:
    """Return the command line of this run, from the root of the repository; other folders of this machine are left out."""
    path = Path(script).resolve().relative_to(ROOT)
    return " ".join([str(path), *(Path(each).name if Path(each).is_absolute() else each for each in sys.argv[1:])])


def commit() -> str:
    """Return the commit of the code that is measured, or "unknown" outside a checkout. New results do not count as a change of the code."""
    name = _git("rev-parse", "--short=7", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":!benchmarks/results", ":!docs")
    return (name + ("+" if changed else "")) or "unknown"


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
