"""What the child that runs the passes gets, and what of it can change its answer."""

import hashlib
from pathlib import Path
from typing import Any

from pipeline import functions
from pipeline.compress.base import Step
from pipeline.plan_tables import TrainingTable
from pipeline.records import Data, Model, Record


class Request(Record, frozen=True):
    """What the child gets (chain.py)."""

    root: str
    scratch: str
    folder: str  # of the plan
    format: str  # of the model: keras or onnx
    model: Model
    data: Data
    steps: tuple[Step, ...]
    seed: int
    custom_objects: str | None = None  # "module:function" in the plan's folder
    training: TrainingTable = TrainingTable()


def identity(data: Data) -> tuple[object, ...]:
    """Return what of the data can change a pass's answer."""
    sets = (data.training, data.calibration, data.evaluation)
    of_sets = [None if rows is None else (rows.inputs, rows.y, rows.targets, rows.named, rows.weights) for rows in sets]
    return (*of_sets, data.tasks)


def learning(table: TrainingTable, folder: Path) -> tuple[object, ...]:
    """Return what [training] says, with the source of the functions that it names."""
    return table, *(functions.digest(each, folder, "training") for each in (table.function, table.augment))


def teachers(steps: tuple[Step, ...], folder: Path) -> tuple[str, ...]:
    """Return the sha256 of every teacher's or student's file that the settings name: one that was trained again is another one."""
    names = {name for step in steps for _, name in files_in(step.settings)}
    return tuple(
        hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in ((folder / name).resolve() for name in sorted(names))
    )


def files_in(settings: dict[str, Any], table: str = "") -> list[tuple[str, str]]:
    """Return every (key, name of a file) of a teacher or student in the settings of a pass, also in the tables inside."""
    found = [(f"{table}{key}", settings[key]) for key in ("teacher", "student") if isinstance(settings.get(key), str)]
    for key, value in settings.items():
        if isinstance(value, dict):
            found += files_in(value, f"{table}{key}.")
    return found
