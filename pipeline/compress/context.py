"""What a pass may use in addition to the model."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.child import Tell
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasModel
from pipeline.plan_tables import TrainingTable
from pipeline.records import Task


class Dataset(NamedTuple):
    """Rows (rows, ...) of each input by its name, and integer labels (rows,). For a model with one input, `x` may be its rows alone.

    `targets`: labels of any form (rows, ...) of outputs by their names; under "" those that name none. `weights` (rows,): how much each
    row counts in a training.

    The rows may be mapped from files larger than memory: take batches of them. An input that is the same in each row may be
    np.broadcast_to(value, (rows, ...)), which takes no memory.
    """

    x: Array | Mapping[str, Array]
    y: Array | None = None
    targets: Mapping[str, Array] = {}
    weights: Array | None = None

    @property
    def rows(self) -> int:
        arrays = list(self.x.values()) if isinstance(self.x, Mapping) else [self.x]
        return len(arrays[0]) if arrays else 0


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
    scored: int | None = None  # which output labels are of; None: the first that can be scores of classes
    sequences: bool = False  # a row is a sequence of steps
    state: tuple[tuple[str, str], ...] = ()  # (input, output): what the model passes from one step to the next
    shapes: Mapping[str, tuple[int, ...]] = {}  # of whole inputs in one inference, where the plan or its rows say them
    outputs: tuple[str, ...] = ()  # their names when the model came, in order; (): as they are: a pass may rename them
    compiled: Mapping[str, Any] | None = None  # what the model's file keeps of compile(): loss, loss_weights
    learn: TrainingTable = TrainingTable()
    tasks: tuple[Task, ...] = ()

    def task_of(self, output: str, *, scored: bool) -> Task | None:
        """Return what an output is for: of several tasks the one that names it, else the only one where it is the scored output."""
        if len(self.tasks) > 1:
            return next((each for each in self.tasks if each.output == output), None)
        return self.tasks[0] if self.tasks and scored else None
