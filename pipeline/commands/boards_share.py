"""`edgepress boards check NAME --share FILE`: what a board shows of itself, in a file that can be given away (docs/adopt-a-board.md)."""

from pathlib import Path
from typing import Any

import click
import msgspec

from pipeline import units
from pipeline.commands.common import UserPath, say, say_aside, show_json
from pipeline.errors import PlanError
from pipeline.safe_text import clean
from targets import inventory, sharing
from targets.host import small_file

SELFTEST_BYTES = 1_000_000
SHOWN = 100  # characters of a file on the screen

share_option = click.option(
    "--share", type=UserPath(), metavar="FILE",
    help="Write what the board shows of itself, without addresses, names and serial numbers, to give away.",
)  # fmt: skip
selftest_option = click.option(
    "--selftest", type=UserPath(), metavar="FILE", help="With --share: put this answer of `edgepress selftest NAME --json` in it."
)  # fmt: skip
yes_option = click.option("--yes", is_flag=True, help="With --share: write it without asking.")


def share(folder: Path, name: str, file: Path, selftest: Path | None, *, yes: bool, as_json: bool) -> None:
    """Ask the board, show what would be written, and write it where the user agrees."""
    answer = None if selftest is None else _selftest(selftest)
    shared = sharing.shared(inventory.find(name, folder), say_aside, answer)
    data = msgspec.json.format(msgspec.json.encode(shared), indent=1) + b"\n"
    if as_json:
        show_json(shared)
    else:
        show(shared)
    if not yes:
        what = "Replace" if file.exists() else "Write"
        click.confirm(f"{what} {file} ({units.size(len(data))}), with all of that?", abort=True, err=as_json)
    file.write_bytes(data)
    if not as_json:
        say(f"written: {file}. Nothing was sent to anybody; docs/adopt-a-board.md says where it is welcome.")


def show(shared: sharing.Shared) -> None:
    """Say all of it, a line each."""
    say(f"kind: {shared.kind or 'not known'}")
    for title, values in (("the board", shared.machine), ("its state", shared.conditions)):
        say(f"{title}:")
        for key, value in values.items():
            say(f"  {key}: {_cut(str(value))}")
    for meter in shared.meters:
        say(f"power meter: {_cut(str(meter))}")
    say(f"{units.counted(len(shared.files), 'file')}:")
    for path, text in shared.files.items():
        say(f"  {path}: {_cut(text)}")
    for title, paths in (
        ("cannot be read", shared.failing),
        ("block", shared.blocking),
        ("for root only", shared.root_only),
    ):
        for path in paths:
            say(f"  {path}: {title}")
    for command, text in shared.programs.items():
        say(f"  $ {command}: {_cut(text)}")
    if shared.selftest is not None:
        say(f"self-test: {_cut(str(shared.selftest))}")
    gone = ", ".join(f"{kind} {count}" for kind, count in shared.removed.items())
    say(f"taken out: {gone or 'nothing had to be'}")


def _cut(text: str) -> str:
    line = clean(" / ".join(text.replace("\0", " ").split("\n")).strip(" /"))
    return line if len(line) <= SHOWN else f"{line[:SHOWN]} ... ({len(text):,} characters)"


def _selftest(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(small_file(path, SELFTEST_BYTES), type=dict[str, Any])
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise PlanError(
            f"{path} is not the output of a self-test: {error}",
            hint=f"Make one: edgepress selftest NAME --json > {path}",
        ) from error
