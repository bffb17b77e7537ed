"""What runs a deployable file on this host, row by row as a board does, and keeps its answers in files: they may be larger than memory."""

import math
import shutil
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline import units
from pipeline.errors import ModelError, PlanError, StageError
from pipeline.frameworks.feeds import Feed, Feeds, closed
from pipeline.frameworks.rows import BATCH_ROWS, Array, Count
from pipeline.records import TensorSpec
from pipeline.safe_text import shortened

State = Sequence[tuple[str, str]]
"""(input, output) of what a model passes from one step to the next."""


class Runner(Protocol):
    """A file that is open: `inputs` and `outputs` by name."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    keeps_state: bool = False  # the file itself keeps something from one inference to the next, until `reset`

    @abstractmethod
    def run(self, feed: Feed) -> list[Array]:
        """One inference: the answers of `outputs`, real numbers where they are quantized. CannotRunError if the runtime cannot."""

    @abstractmethod
    def reset(self) -> None:
        """Forget what the file itself keeps from one inference to the next."""

    @abstractmethod
    def in_other_kernels(self) -> "Runner | None":
        """The same file in other kernels of this host. None where nothing is quantized: they would answer the same."""

    def real_dtype(self, spec: TensorSpec) -> str:
        """The type in which an input takes its values: of one that the file scales float32."""
        return spec.dtype

    def answers(self, feeds: Feeds, folder: Path, count: Count, state: State = ()) -> tuple[Array, ...]:
        """What each output answers for the rows, mapped from .npy files in `folder`, see `Answers`."""
        found = Answers(folder, feeds.rows, self.outputs, self.name)
        for index in range(feeds.rows):
            self.reset()
            found.add(index, steps_of(self, feeds, index, state))
            if index % BATCH_ROWS == 0:
                count(index, feeds.rows)
        return found.arrays()


def steps_of(runner: Runner, feeds: Feeds, index: int, state: State) -> list[Array]:
    """The answers to one row; of a sequence, those to its steps along a first axis. ModelError if their shapes differ."""
    kept = {name: _zeros(runner, name, feeds) for name, _ in state}
    places = {each.name: place for place, each in enumerate(runner.outputs)}
    steps = []
    for feed in feeds.steps(index):
        answers = runner.run(feed | kept)
        kept = {name: answers[places[output]] for name, output in state}
        steps.append([row_of(each) for each in answers])
    if not feeds.sequences:
        return steps[0]
    for step, found in enumerate(steps):
        for spec, first, each in zip(runner.outputs, steps[0], found, strict=True):
            if each.shape != first.shape:
                raise _varies(spec, runner.name, first.shape, each.shape, step, "step")
    return [np.stack(each) for each in zip(*steps, strict=True)]


def _zeros(runner: Runner, name: str, feeds: Feeds) -> Array:
    spec = next(each for each in runner.inputs if each.name == name)
    told = [each.fixed for each in (spec, feeds.inputs.get(name)) if each is not None and each.fixed is not None]
    shape = told[0] if told else closed(spec.shape)
    if shape is None:
        raise open_state(spec, runner.name)
    return np.zeros(shape, runner.real_dtype(spec))


def open_state(spec: TensorSpec, name: str) -> PlanError:
    """What to say of a state whose length neither the file nor the plan says. `name`: of the file."""
    lengths = (
        "..." if spec.shape is None else f"[{', '.join('...' if size is None else str(size) for size in spec.shape)}]"
    )
    return PlanError(
        f"model.state: the input '{shortened(spec.name, 100)}' of {name} is {units.shape(spec.shape)}, and nothing says how long its open "
        "axes are",
        hint=f'Write it into [model], with a number for each "...": shape = {{ "{shortened(spec.name, 100)}" = {lengths} }}.',
    )


def row_of(answer: Array) -> Array:
    """Drop the first axis of an answer to one row where it is 1, as the agent does."""
    return answer[0] if answer.shape[:1] == (1,) else answer


class Answers:
    """A .npy file for each output, (rows, ...): floating point as float32, other numbers as they are. No batch axis: see `row_of`."""

    def __init__(self, folder: Path, rows: int, outputs: Sequence[TensorSpec], name: str) -> None:
        """`folder`: of its own, or of files that nobody needs any more. `name`: of the model, for messages."""
        self.folder, self.rows, self.outputs, self.name = folder, rows, outputs, name
        self.files: list[Array] = []

    def add(self, index: int, row: Sequence[Array]) -> None:
        """ModelError if an answer has another shape than that to row 0; StageError if the disk has no room for all."""
        self.add_block(index, [each[None] for each in row])

    def add_block(self, start: int, block: Sequence[Array]) -> None:
        """As `add`, of several rows: (rows, ...) of each output."""
        if not self.files:
            self._check_room(block)
            self.files = [self._file(place, each) for place, each in enumerate(block)]
        for spec, file, values in zip(self.outputs, self.files, block, strict=True):
            if values.shape[1:] != file.shape[1:]:
                raise _varies(spec, self.name, file.shape[1:], values.shape[1:], start)
            file[start : start + len(values)] = values

    def arrays(self) -> tuple[Array, ...]:
        return tuple(self.files)

    def _check_room(self, block: Sequence[Array]) -> None:
        """StageError if the disk has no room: a mapped file takes its room late, and the process would end at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        size_bytes = sum(self.rows * math.prod(each.shape[1:]) * min(4, each.itemsize) for each in block)
        free = shutil.disk_usage(self.folder).free
        if size_bytes > free:
            raise StageError(
                f"the answers of {self.name} to {units.counted(self.rows, 'row')} have {units.size(size_bytes)}, and the disk has "
                f"{units.size(free)} left",
                hint="Give fewer evaluation rows, make room (`edgepress clean`), or name a state folder on another disk with --state DIR.",
            )

    def _file(self, place: int, block: Array) -> Array:
        number = 0
        while (path := self.folder / f"answers{number}-{place}.npy").exists():  # of other runs in the same folder
            number += 1
        dtype = np.dtype(np.float32) if _is_floating(block.dtype) else block.dtype
        shape = (self.rows, *block.shape[1:])
        file: Array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype.newbyteorder("<"), shape=shape)
        return file


def _is_floating(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype.name == "bfloat16"


def _varies(
    spec: TensorSpec, name: str, first: tuple[int, ...], now: tuple[int, ...], index: int, thing: str = "row"
) -> ModelError:
    axis = next((axis for axis, (one, other) in enumerate(zip(first, now, strict=False)) if one != other), None)
    where = "" if axis is None or len(first) != len(now) else f", in its {_axis(spec, axis - len(first))}"
    return ModelError(
        f"the output '{shortened(spec.name, 100)}' of {name} differs in shape from {thing} to {thing}{where}: {first} for {thing} 0, "
        f"{now} for {thing} {index}",
        hint="Export it with a state of one length, of which it drops the oldest part: boards run one shape."
        if thing == "step"
        else "Cut the model before the operator that chooses answers (such as NonMaxSuppression, NonZero or Compress): "
        "onnx.utils.extract_model(path, new_path, [input], [output]).",
    )


def _axis(spec: TensorSpec, place: int) -> str:
    """The name of an axis that is counted from the last, -1."""
    number = place + (-place if spec.shape is None else len(spec.shape))
    name = spec.axes[place] if len(spec.axes) >= -place else ""
    return f"axis '{shortened(name, 60)}'" if name else f"axis {number}"
