"""What a pass may use in addition to the model."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pipeline.child import Tell
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasModel


class Dataset(NamedTuple):
    """Rows (rows, ...) and integer labels (rows,). `x` may be mapped from a file larger than memory: take batches of it."""

    x: Array
    y: Array | None = None


def _silent(done: int, of: int, note: str) -> None:
    del done, of, note


class Context(NamedTuple):
    """What a pass may use in addition to the model."""

    training: Dataset | None = None
    calibration: Dataset | None = None
    evaluation: Dataset | None = None  # to show how far it is; nothing may be chosen by it
    original: Callable[[], KerasModel] | None = None  # opens the model as it was before the first pass: the teacher
    folder: Path = Path()  # where paths of the settings start: the plan's folder
    tell: Tell = _silent
    seed: int = 0
    resume: Path | None = None  # a folder that outlives this process: what was reached is found here again
