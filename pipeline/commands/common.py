"""What the commands about a plan share."""

import contextlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from pipeline import units
from pipeline.commands.streams import json_for
from pipeline.commands.terminal import Terminal
from pipeline.flow import Run, run
from pipeline.handover import MANIFEST, Handover, folder_of
from pipeline.plan import Plan, read, with_state, with_threads
from pipeline.plan_tables import MOST_THREADS
from pipeline.records import RunRecord
from pipeline.report.renderers import terminal
from pipeline.safe_text import clean_json, clean_lines
from pipeline.store import Store

Decorator = Callable[..., Any]
LONGEST_WAIT_S = 7 * 24 * 3600


STATE = "pipeline.commands.state"  # where the context of a command keeps what --state said


class UserPath(click.Path):
    """A path of the user, as in the plan and in boards.toml: ~ at the beginning is a home folder, which no shell puts into `--state=~/x` or a variable;
    and nothing is put in for $, so that no folder of the name `$HOME` is made.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if not os.fspath(value):  # -o "$OUT" where OUT is not set: it is not the folder that one happens to be in
            self.fail("it is empty; . is the current folder", parameter, context)
        try:
            path = Path(value).expanduser()
        except RuntimeError as error:  # ~ of a user who does not exist
            self.fail(f"{value}: {error}", parameter, context)
        if "$" in str(path) and not os.path.lexists(path):
            self.fail(
                f"there is no {path}, and variables with $ are not expanded; ~ at the beginning is your home folder",
                parameter, context,
            )  # fmt: skip
        return super().convert(path, parameter, context)


def plan_argument(command: Decorator) -> Decorator:
    """PLAN, and where its state is: `plan_of` reads both."""
    argument = click.argument("plan", type=UserPath(), default="edge.toml")
    return argument(state_option(command))


def state_option(command: Decorator) -> Decorator:
    return click.option(
        "--state", type=UserPath(), envvar="EDGEPRESS_STATE", expose_value=False, metavar="DIR",
        callback=lambda context, _, value: context.meta.update({STATE: value}),
        help="Keep runs and artifacts in DIR, not in .edgepress next to the plan (also: EDGEPRESS_STATE).",
    )(command)  # fmt: skip


def given_state() -> Path | None:
    """Return what --state or EDGEPRESS_STATE of the running command says."""
    state: Path | None = click.get_current_context().meta.get(STATE)
    return state


def plan_of(path: Path) -> Plan:
    """Return the plan at `path`, with the state folder that the command names."""
    return with_state(read(path), given_state())


def json_option(command: Decorator) -> Decorator:
    return click.option("--json", "as_json", is_flag=True, help="Print the record itself on stdout.")(command)


def quiet_option(command: Decorator) -> Decorator:
    return click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")(command)


def out_option(text: str) -> Decorator:
    return click.option("-o", "--out", type=UserPath(), metavar="DIR", help=text)


def _thread_counts(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    if not re.fullmatch(r"[1-9][0-9]{0,2}(,[1-9][0-9]{0,2})*", text) or max(map(int, text.split(","))) > MOST_THREADS:
        raise click.BadParameter(f'"{text}" is not a list of numbers from 1 to {MOST_THREADS}, such as 1,2,4')
    return tuple(map(int, text.split(",")))


def threads_option(command: Decorator) -> Decorator:
    words = "Instead of the plan's: each number is measured, and limits judge the first. Such as 1,2,4."
    return click.option("--threads", callback=_thread_counts, metavar="N,N,..", help=words)(command)


def wait_option(command: Decorator) -> Decorator:
    words = "Wait at most this many seconds for a board that is busy with somebody else's job; without it the command ends with 4."
    return click.option(
        "--wait", "wait_s", type=click.IntRange(0, LONGEST_WAIT_S), default=0, metavar="SECONDS", help=words
    )(command)


def run_until(
    plan: Path, stage: str, *, quiet: bool, threads: tuple[int, ...] = (), wait_s: float = 0, out: Path | None = None,
    hands_over: bool = False,
) -> Run:  # fmt: skip
    """Run the plan's stages as far as `stage`, with progress on stderr. `threads`: instead of the plan's; `wait_s`: for a board
    that is busy; `out`: the folder for what was made; without it, `hands_over` chooses one.
    """
    the_plan = with_threads(plan_of(plan), threads)
    out = folder_of(the_plan, out) if out is not None or hands_over else None
    with Terminal(quiet=quiet) as progress:
        return run(the_plan, progress, until=stage, wait_s=wait_s, out=out)


def say_handover(handed: Handover | None, *, on_stderr: bool = False) -> None:
    """Say where the files are, as the last of what a command says."""
    if handed is None:
        return
    tell = say_aside if on_stderr else say
    for note in handed.notes:
        say_aside(note)
    tell(f"\nfiles in {handed.folder}:")
    width = max((len(file.name) for file in handed.files), default=0)
    for file in handed.files:
        if file.kind != "report":
            tell(f"  {file.name:<{width}}  {units.size(file.size_bytes)}")
    tell(f"  {MANIFEST:<{width}}  what each was made from, its sha256 and the verdict")
    for file in handed.files:
        if file.name.endswith(".html"):
            tell(f"page: {handed.folder / file.name}")


def say(text: str) -> None:
    """A result on stdout. What comes from a board or a model's file must not command the terminal.

    A reader that went away (`| head -1`) ends the printing, not the command: its exit code stays that of the result.
    """
    _write(clean_lines(text) + "\n")


def say_aside(text: str) -> None:
    """Say on stderr what is waited for, and what to do. A reader that has gone away is ignored."""
    with contextlib.suppress(OSError):
        click.echo(clean_lines(text), err=True)


def show_json(record: object) -> None:
    """A record of a stage, or of the wire (whose fields `vars` lists)."""
    text = clean_json(msgspec.json.format(msgspec.json.encode(record, enc_hook=vars), indent=2).decode())
    _write(json_for(text, sys.stdout) + "\n")


def show_run(record: RunRecord, store: Store, pages: dict[str, Path]) -> None:
    """The table of a run on stdout, and where its pages are."""
    _write(terminal.render(record, store))  # cleaned already, and coloured where stdout is a terminal
    if "html" in pages:
        say(f"\npage: {pages['html']}")


def _write(text: str) -> None:
    if sys.stdout is None:  # closed by the caller (>&-)
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _write_no_more()
    except OSError as error:  # a full disk: what was found is kept, and the exit code still shows it
        _write_no_more()
        say_aside(f"edgepress: the output could not be written: {error.strerror}")


def _write_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
