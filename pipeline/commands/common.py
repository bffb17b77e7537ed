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

from pipeline.commands.terminal import Terminal
from pipeline.flow import Run, run
from pipeline.plan import MOST_THREADS, read, with_threads
from pipeline.records import RunRecord
from pipeline.report import terminal
from pipeline.safe_text import clean_json, clean_lines
from pipeline.store import Store

Decorator = Callable[..., Any]
LONGEST_WAIT_S = 7 * 24 * 3600


def plan_argument(command: Decorator) -> Decorator:
    argument = click.argument("plan", type=click.Path(path_type=Path), default="edge.toml")
    return argument(command)


def json_option(command: Decorator) -> Decorator:
    return click.option("--json", "as_json", is_flag=True, help="Print the record itself on stdout.")(command)


def quiet_option(command: Decorator) -> Decorator:
    return click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")(command)


def _thread_counts(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    if not re.fullmatch(r"[1-9][0-9]{0,2}(,[1-9][0-9]{0,2})*", text) or max(map(int, text.split(","))) > MOST_THREADS:
        raise click.BadParameter(f'"{text}" is no list of numbers from 1 to {MOST_THREADS}, such as 1,2,4')
    return tuple(map(int, text.split(",")))


def threads_option(command: Decorator) -> Decorator:
    words = (
        "Instead of the plan's: each number is measured beside the others, and limits judge the first. Such as 1,2,4."
    )
    return click.option("--threads", callback=_thread_counts, metavar="N,N,..", help=words)(command)


def wait_option(command: Decorator) -> Decorator:
    words = "Wait for a board that is busy with somebody else's job, so many seconds in all; without it the command ends with 4."
    return click.option(
        "--wait", "wait_s", type=click.IntRange(0, LONGEST_WAIT_S), default=0, metavar="SECONDS", help=words
    )(command)


def run_until(plan: Path, stage: str, *, quiet: bool, threads: tuple[int, ...] = (), wait_s: float = 0) -> Run:
    """Run the plan's stages as far as `stage`, with progress on stderr. `threads`: instead of the plan's; `wait_s`: for a board
    that is busy.
    """
    with Terminal(quiet=quiet) as progress:
        return run(with_threads(read(plan), threads), progress, until=stage, wait_s=wait_s)


def say(text: str) -> None:
    """A result on stdout. What comes from a board or a model's file must not command the terminal.

    A reader that went away (`| head -1`) ends the printing, not the command: its exit code stays that of the result.
    """
    _write(clean_lines(text) + "\n")


def say_aside(text: str) -> None:
    """On stderr: what is waited for, and what to do. Whoever does not listen is left alone."""
    with contextlib.suppress(OSError):
        click.echo(clean_lines(text), err=True)


def show_json(record: object) -> None:
    """A record of a stage, or of the wire (whose fields `vars` tells)."""
    _write(clean_json(msgspec.json.format(msgspec.json.encode(record, enc_hook=vars), indent=2).decode()) + "\n")


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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
