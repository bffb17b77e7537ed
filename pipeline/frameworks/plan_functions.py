"""Functions of the user's that a plan names, called with what is ours: an error names their file and line."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import functions
from pipeline.errors import EdgepressError, StageError


class PlanFunction:
    """One function; its module is imported when it is made, so make it in a child process alone."""

    def __init__(self, reference: str, folder: Path, key: str) -> None:
        """PlanError if there is no such function, or its module fails."""
        self.reference, self.folder, self.key = reference, folder.resolve(), key
        self.function = functions.loaded(reference, self.folder, key)

    def __call__(self, *given: object, **named: object) -> Any:
        """Call it. StageError with file and line where it fails; errors of edgepress's own, raised inside of it, stay what they are."""
        with self._running():
            return self.function(*given, **named)

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        sys.path.insert(0, str(self.folder))  # a function may import what lies next to it when it runs
        try:
            yield
        except (EdgepressError, KeyboardInterrupt):
            raise
        except BaseException as error:  # what a user's code raises can be anything
            place = functions.place_of(error, self.folder)
            raise StageError(
                f"{self.key}: {self.reference} failed{f' in {place}' if place else ''}: {functions.words_of(error)}",
                hint="The error is in that module, not in edgepress. Call the function in a Python of its own to see all of it.",
            ) from error
        finally:
            with contextlib.suppress(ValueError):  # taken out by the function itself
                sys.path.remove(str(self.folder))
