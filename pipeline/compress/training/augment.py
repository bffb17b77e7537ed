"""Augmentation by a function of the user's: each batch of a training is changed by it, in a way that the seed decides."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.compress.context import Context
from pipeline.errors import StageError
from pipeline.frameworks import Array
from pipeline.frameworks.plan_functions import PlanFunction
from pipeline.safe_text import shortened

KEY = "training.augment"


class Augment:
    """Calls `function(inputs, targets, random)` for a batch: two dicts of arrays by name, and a NumPy generator."""

    def __init__(self, reference: str, context: Context, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """`inputs` and `outputs`: the names of the arrays of a batch, in their order."""
        self.function = PlanFunction(reference, context.folder, KEY)
        self.seed, self.inputs, self.outputs = context.seed, inputs, outputs

    def __call__(self, x: list[Array], y: list[Array], epoch: int, step: int) -> tuple[list[Array], list[Array]]:
        """Return the batch (rows, ...) that is trained on. StageError if it is not of the form that it was."""
        given = dict(zip(self.inputs, x, strict=True)), dict(zip(self.outputs, y, strict=True))
        random = np.random.default_rng((self.seed, epoch, step))
        answer = self.function(*(dict(each) for each in given), random)
        told = f"{KEY}: {self.function.reference} returned"
        if not (
            isinstance(answer, tuple | list) and len(answer) == 2 and all(isinstance(each, Mapping) for each in answer)
        ):
            raise StageError(
                f"{told} {type(answer).__name__}, and two dicts are expected",
                hint="Let it end with `return inputs, targets`: dicts of arrays with the names that it got.",
            )
        parts = [self._checked(each, was, told) for each, was in zip(answer, given, strict=True)]
        return parts[0], parts[1]

    def _checked(self, found: Mapping[str, Any], was: Mapping[str, Array], told: str) -> list[Array]:
        arrays = []
        for name, before in was.items():
            if name not in found:
                raise StageError(
                    f"{told} no '{shortened(name, 100)}', only {shortened(', '.join(map(str, found))) or 'nothing'}",
                    hint="Return every array that it got, changed or not.",
                )
            array = np.asarray(found[name])
            fits = array.shape == before.shape and np.can_cast(array.dtype, before.dtype, "same_kind")
            if not fits:
                raise StageError(
                    f"{told} '{shortened(name, 100)}' as {array.dtype} of shape {array.shape}, and it was {before.dtype} of shape {before.shape}",
                    hint="Augmentation keeps type and shape: cut, pad or cast it back.",
                )
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise StageError(
                    f"{told} NaN or infinity in '{shortened(name, 100)}'", hint="Keep what it makes to finite numbers."
                )
            arrays.append(np.ascontiguousarray(array, before.dtype))
        return arrays
