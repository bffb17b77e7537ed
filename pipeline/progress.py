"""How stages report what they are doing. Commands decide how it looks (pipeline/commands/terminal.py)."""

from typing import Protocol


class Progress(Protocol):
    def stage(self, name: str) -> None:
        """A stage begins."""

    def stage_done(self, name: str, seconds: float, *, cached: bool) -> None:
        """Show that a stage ended well; `cached`: its answer was there already."""

    def step(self, done: int, of: int, note: str) -> None:
        """Within the stage: `done` of `of` (0 = unknown), and what is being done."""

    def say(self, sentence: str) -> None:
        """Something the user should know now."""


class Silent:
    """No progress: for Python callers and tests."""

    def stage(self, name: str) -> None:
        pass

    def stage_done(self, name: str, seconds: float, *, cached: bool) -> None:
        pass

    def step(self, done: int, of: int, note: str) -> None:
        pass

    def say(self, sentence: str) -> None:
        pass
