"""The rows of a launch, input by input, mapped and not read: boards have little memory."""

import math
import sys
from typing import Any, Iterator, List, Sequence

from device_agent import wire


class Feeds:
    """Rows as models take them: an array, or None for zeros, for each of launch.inputs."""

    def __init__(self, launch: wire.Launch, paths: Sequence[str]) -> None:
        """ValueError unless the files have equally many rows. `paths`: of the inputs' blobs; "": zeros."""
        self.launch = launch
        self.arrays = [mapped(path, each.tensor) for path, each in zip(paths, launch.inputs)]  # noqa: B905 - Python 3.8
        counts = {
            len(array)
            for array, each in zip(self.arrays, launch.inputs)  # noqa: B905
            if array is not None and not each.constant
        }
        if len(counts) > 1:
            raise ValueError("the inputs have %s rows: they must have as many" % " and ".join(map(str, sorted(counts))))
        self.has_rows = bool(counts)
        self.rows = counts.pop() if counts else 1

    def row(self, index: int) -> List[Any]:
        return [
            None if array is None else array[0 if each.constant else index]
            for array, each in zip(self.arrays, self.launch.inputs)  # noqa: B905
        ]

    def steps(self, index: int) -> Iterator[List[Any]]:
        """The inferences of one row: one, or of a sequence one for each step."""
        row = self.row(index)
        if not self.launch.sequences:
            yield row
            return
        inputs = self.launch.inputs
        moving = [array is not None and not each.constant for array, each in zip(row, inputs)]  # noqa: B905
        lengths = {len(array) for array, moves in zip(row, moving) if moves}  # noqa: B905
        if len(lengths) != 1:
            raise ValueError("the inputs of a sequence have %s steps: they must have as many" % sorted(lengths))
        for step in range(lengths.pop()):
            yield [array[step] if moves else array for array, moves in zip(row, moving)]  # noqa: B905

    def first_step(self, index: int) -> List[Any]:
        return next(self.steps(index))

    def all_steps(self) -> Iterator[List[Any]]:
        for index in range(self.rows):
            yield from self.steps(index)


def finite(values: Sequence[float]) -> List[float]:
    """JSON has neither NaN nor infinity."""
    return [value if math.isfinite(value) else sys.float_info.max for value in values]


def golden_values(outputs: Sequence[Any]) -> List[float]:
    """The first values of each output, GOLDEN_VALUES in all."""
    each = max(1, wire.GOLDEN_VALUES // max(1, len(outputs)))
    return [float(value) for output in outputs for value in output.ravel()[:each].tolist()][: wire.GOLDEN_VALUES]


def mapped(path: str, tensor: str) -> Any:
    """Return the rows, mapped to be read. "": None."""
    if not path:
        return None
    import numpy as np

    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.ndim < 1 or not len(array):
        raise ValueError("the rows of the input %s are not a .npy file of one row or more" % (tensor or "of the model"))
    return array
