"""What this machine can and cannot do for edgepress, and how to fix what it cannot."""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline import units
from pipeline.frameworks import EXTRAS, available
from pipeline.records import Record
from targets import inventory, open_session, provision
from targets.errors import TargetError
from targets.folders import cache_folder
from targets.virtual.loopback import find_sshd

DATASET = Path("/usr/share/datasets/fashion-mnist")
FREE_BYTES = 2 * 2**30  # the store of the example and the wheels of all runtimes take about 0.5 GiB


class Finding(Record, frozen=True, kw_only=True):
    what: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = False  # the base installation does not work without it


def examine(board: str | None, folder: Path, say: Callable[[str], None] | None = None) -> tuple[Finding, ...]:
    """Look at this machine, and at `board` of the inventory of `folder` if one is named. `say` gets a line on what is waited for."""
    return tuple(_findings(board, folder, say))


def _findings(board: str | None, folder: Path, say: Callable[[str], None] | None) -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding(what="Python", ok=sys.version_info >= (3, 11), found=version, remedy="", needed=True)
    for extra in EXTRAS:
        has = available(extra)
        missing = [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]
        yield Finding(
            what=f"extra {extra}", ok=has, found="installed" if has else f"missing: {', '.join(missing)}",
            remedy="" if has else f"pip install 'edgepress[{extra}]'",
        )  # fmt: skip
    pip = importlib.util.find_spec("pip") is not None
    yield Finding(
        what="pip", ok=pip, found="fetches the boards' runtimes" if pip else "missing: no runtime can be fetched for boards",
        remedy="" if pip else "Install pip into the environment of edgepress.", needed=True,
    )  # fmt: skip
    sshd = find_sshd()
    yield Finding(
        what="sshd", ok=sshd is not None, found=sshd or "missing: the virtual board falls back to local",
        remedy="" if sshd else "apt-get install openssh-server",
    )  # fmt: skip
    yield Finding(
        what="Fashion-MNIST", ok=DATASET.exists(), found=str(DATASET) if DATASET.exists() else "missing: the example downloads it instead",
        remedy="" if DATASET.exists() else "apt-get install dataset-fashion-mnist",
    )  # fmt: skip
    free = shutil.disk_usage(_there(cache_folder())).free
    yield Finding(
        what="disk", ok=free > FREE_BYTES, found=f"{units.size(free)} free in {cache_folder()}",
        remedy="" if free > FREE_BYTES else f"Free {units.size(FREE_BYTES)}.",
    )  # fmt: skip
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    yield Finding(
        what="quiet machine", ok=load < 0.5, found=f"load average {load:.2f} per CPU",
        remedy="" if load < 0.5 else "Stop other work before measuring on this machine; boards are not affected.",
    )  # fmt: skip
    for name in (*inventory.ALWAYS, *([board] if board else [])):
        yield _target(name, folder, say, needed=name in {"local", board})


def _there(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists."""
    there = os.path.exists(folder)  # noqa: PTH110 - Path's fails in a folder that this user may not look into
    return folder if there or folder == folder.parent else _there(folder.parent)


def _target(name: str, folder: Path, say: Callable[[str], None] | None, *, needed: bool) -> Finding:
    try:
        with open_session(inventory.find(name, folder), say) as session:
            can = ", ".join(provision.possible(session.machine)) or "no runtime"
            answer = f"the agent answered after {units.seconds(session.first_answer_s)}; it can have {can}"
            return Finding(what=f"board {name}", ok=True, found=answer, needed=needed)
    except TargetError as error:
        return Finding(what=f"board {name}", ok=False, found=error.message, remedy=error.hint, needed=needed)
    except OSError as error:
        remedy = f"Make {cache_folder()} writable."
        return Finding(what=f"board {name}", ok=False, found=str(error), remedy=remedy, needed=needed)
