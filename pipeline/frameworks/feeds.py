"""The rows of a set as a model takes them: whole tensors by the names of its inputs. They are mapped, and not read before they are used.

The agent's twin of it is device_agent/bench/feeds.py.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline import bounds
from pipeline.errors import ModelError
from pipeline.frameworks.rows import Array
from pipeline.records import Artifact, Rows, TensorSpec
from pipeline.safe_text import shortened

Feed = dict[str, Array]
"""Whole tensors by the names of inputs: what one inference takes."""


class Feeds:
    """Rows of each input, in rows (or sequences) that belong together."""

    def __init__(
        self,
        inputs: Sequence[TensorSpec],
        columns: Mapping[str, Array],
        constants: Collection[str] = (),
        *,
        sequences: bool = False,
    ) -> None:
        """`columns`: (rows, ...) for each input that takes rows; those named in `constants` have one row, which belongs to all."""
        self.inputs = {each.name: each for each in inputs}
        self.columns, self.constants, self.sequences = columns, constants, sequences
        self.rows = next((len(x) for name, x in columns.items() if name not in constants), 1)

    def __len__(self) -> int:
        return self.rows

    @property
    def batched(self) -> bool:
        """Whether rows can be put together along a first axis: each input lacks that of its tensor, and it is open there."""
        return not self.sequences and all(self._lacks_axis(name) and self._is_open(name) for name in self.columns)

    def steps(self, index: int) -> Iterator[Feed]:
        """The inferences of one row: one, or of a sequence one for each step."""
        row = {name: np.asarray(x[0 if name in self.constants else index]) for name, x in self.columns.items()}
        if not self.sequences:
            yield {name: self._whole(name, x) for name, x in row.items()}
            return
        moving = {name for name in row if name not in self.constants}
        for step in range(min((len(row[name]) for name in moving), default=1)):
            yield {name: self._whole(name, x[step] if name in moving else x) for name, x in row.items()}

    def all_steps(self, rows: int | None = None) -> Iterator[Feed]:
        """Every inference, of all rows or of the first ones."""
        for index in range(self.rows if rows is None else min(rows, self.rows)):
            yield from self.steps(index)

    def batch(self, start: int, stop: int) -> Feed:
        """Several rows put together; only where they are `batched`."""
        count = min(stop, self.rows) - start
        return {
            name: np.repeat(np.asarray(x[:1]), count, axis=0)
            if name in self.constants
            else np.asarray(x[start : start + count])
            for name, x in self.columns.items()
        }

    def _whole(self, name: str, row: Array) -> Array:
        return np.asarray(row)[None] if self._lacks_axis(name) else np.asarray(row)

    def _lacks_axis(self, name: str) -> bool:
        """Whether a row of this input, or a step of it, lacks the first axis of the tensor."""
        x, shape = self.columns[name], self.inputs[name].shape
        axes = x.ndim - 1 - (self.sequences and name not in self.constants)
        return shape is not None and axes == len(shape) - 1

    def _is_open(self, name: str) -> bool:
        shape = self.inputs[name].shape
        return shape is not None and shape[:1] == (None,)


def feeds_of(
    rows: Rows, inputs: Sequence[TensorSpec], path_of: Callable[[Artifact], Path], *, sequences: bool = False
) -> Feeds:
    """Return the rows of a set. `path_of`: Store.path."""
    columns = {each.name: np.load(path_of(each.artifact), mmap_mode="r", allow_pickle=False) for each in rows.inputs}
    constants = {each.name for each in rows.inputs if each.constant}
    return Feeds(inputs, columns, constants, sequences=sequences)


def blank(inputs: Sequence[TensorSpec], state: Collection[str] = ()) -> Feeds | None:
    """Return one row of zeros. None where nothing says how long an axis is; ModelError if it is too large for this process. `state`:
    inputs that take no rows.
    """
    taken = [each for each in inputs if each.name not in state]
    shapes = [each.fixed if each.fixed is not None else closed(each.shape) for each in taken]
    if any(shape is None for shape in shapes):
        return None
    for each, shape in zip(taken, shapes, strict=True):
        size_bytes = math.prod(shape or ()) * np.dtype(each.dtype).itemsize
        bounds.check_unpacked(size_bytes, size_bytes, f"one row of the input '{shortened(each.name, 100)}'", ModelError)
    columns = {each.name: np.zeros((1, *(shape or ())), each.dtype) for each, shape in zip(taken, shapes, strict=True)}
    return Feeds(taken, columns)


def closed(shape: tuple[int | None, ...] | None) -> tuple[int, ...] | None:
    """Return a shape in which only the first axis is open, with a 1 there; None for any other open one."""
    if shape is None or None in shape[1:]:
        return None
    return tuple(1 if size is None else size for size in shape)
