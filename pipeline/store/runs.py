"""Runs in the order in which they were measured, whatever the clock says."""

import contextlib
import re
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from pipeline.errors import StageError
from pipeline.store.files import locked, unsealed, write_atomically

NUMBERED = re.compile(r"([0-9]{4,12})-[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
"""What an id looks like. Those of older versions of edgepress lack the number: they come before all others, by their date."""
LAST = re.compile(r"[0-9]{1,9}")  # whatever else stands there: the runs have their numbers, too


class _Head(msgspec.Struct, frozen=True):
    plan_path: str


def next_id(root: Path, began: datetime, tmp: Path) -> str:
    """Return the id of a new run; two processes are never given one number."""
    with locked(root / "runs"):
        number = 1 + max(_last_given(root / "sequence"), *(_place(path)[0] for path in in_order(root)), 0)
        write_atomically(root / "sequence", f"{number}\n".encode(), tmp)
    return f"{number:04d}-{began:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def in_order(root: Path) -> list[Path]:
    """Return the files of all runs, oldest first."""
    return sorted(filter(Path.is_file, (root / "runs").glob("*.json")), key=_place)


def read(path: Path) -> bytes:
    """Return the JSON of a run. StageError if it is not what was written."""
    data = path.read_bytes()
    if NUMBERED.fullmatch(path.stem) is None and not data.startswith(b'{"seal"'):
        return data  # of an older version, which sealed nothing
    content = unsealed(data)
    if content is None:
        raise StageError(
            f"the stored run {path.stem} is damaged: {path} is not what was written",
            hint="Run `edgepress run` again; or remove this file, and the run before it is the latest.",
        )
    return content


def plan_of(path: Path) -> str:
    """Return which plan was run; "" where that cannot be read."""
    with contextlib.suppress(StageError, OSError, ValueError):
        return msgspec.json.decode(read(path), type=_Head).plan_path
    return ""


def newest_first(root: Path) -> Iterator[bytes]:
    """Yield the JSON of each run. StageError at one that is damaged."""
    for path in reversed(in_order(root)):
        with contextlib.suppress(FileNotFoundError):  # another process cleans up
            yield read(path)


def is_of(data: bytes, plan: Path, *, anywhere: bool) -> bool:
    """Return whether a run is one of this plan; `anywhere`: also one that was measured before its folder was moved."""
    with contextlib.suppress(ValueError):
        told = Path(msgspec.json.decode(data, type=_Head).plan_path)
        return told == plan or (anywhere and told.name == plan.name)
    return False


def _place(path: Path) -> tuple[int, str]:
    match = NUMBERED.fullmatch(path.stem)
    return (int(match[1]) if match else 0), path.stem


def _last_given(path: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        given = path.read_text()[:20].strip()
        return int(given) if LAST.fullmatch(given) else 0
    return 0
