"""Progress on stderr: a bar with a rate and a remaining time on a terminal, one line a stage elsewhere."""

import contextlib
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from pipeline import units
from pipeline.safe_text import clean, clean_lines

QUIET_LINE_S = 10.0  # where there is no bar: how often a long stage says how far it is


class Stderr(Console):
    def on_broken_pipe(self) -> None:
        """Continue without progress when its reader has gone away. rich would end the process with exit code 1."""
        self.quiet = True


class Terminal:
    def __init__(self, *, quiet: bool) -> None:
        quiet = quiet or sys.stderr is None  # closed by the caller (2>&-)
        self._console = Stderr(stderr=True, quiet=quiet, highlight=False)
        self._bars = Progress(
            SpinnerColumn(), TextColumn("{task.description:<9}"), BarColumn(20), TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
            console=self._console, expand=True, transient=True, disable=quiet or not self._console.is_terminal,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._name, self._last_line_s = "", 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage(self, name: str) -> None:
        self._name, self._last_line_s = name, time.monotonic()
        self._task = self._bars.add_task(name, total=None, note="")

    def stage_done(self, name: str, seconds: float, *, cached: bool) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
        self._line(f"{name:<9} {'unchanged, from the cache' if cached else 'done'} in {units.seconds(seconds)}")

    def step(self, done: int, of: int, note: str) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=of or None, note=clean(note))
        if not self._console.is_terminal and time.monotonic() - self._last_line_s > QUIET_LINE_S:
            self._last_line_s = time.monotonic()
            self._line(f"{self._name:<9} {done} of {of}  {note}".rstrip())

    def say(self, sentence: str) -> None:
        self._line(sentence)

    def _line(self, text: str) -> None:
        with contextlib.suppress(OSError):  # progress that cannot be shown does not end the command
            self._console.print(clean_lines(text), markup=False, soft_wrap=True)
