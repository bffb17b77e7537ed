"""Round every weight to the nearest number that 16 bits can hold (IEEE 754 binary16).

The Keras model still stores them in 32 bits: what they become in the format `tflite-fp16` is settled here, so that passes after this
one, and every accuracy, see the numbers that the board will see.
"""

import numpy as np

from pipeline.compress.base import Changed, Claims
from pipeline.compress.context import Context
from pipeline.compress.settings import PassSettings
from pipeline.errors import PromiseError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasModel, KerasVariable

LARGEST = float(np.finfo(np.float16).max)  # 65504
LEAST_NORMAL = float(np.finfo(np.float16).smallest_normal)  # 2^-14; below, fewer than 11 significant bits are left


class Settings(PassSettings, frozen=True):
    """There is nothing to choose."""


def requires(model: KerasModel, settings: Settings, context: Context) -> None:
    """Refuse weights that 16 bits cannot hold."""
    del settings, context
    for weight in _floating(model):
        largest = float(np.abs(weight.numpy()).max(initial=0))
        if largest > LARGEST:
            raise StageError(
                f"the weights '{weight.path}' go up to {largest:.4g}, and float16 ends at {LARGEST:.0f}",
                hint="Scale the rows that the model takes, and train it again; or leave half_precision out.",
            )


def apply(model: KerasModel, settings: Settings, context: Context) -> Changed:
    """Round."""
    del settings, context
    for weight in _floating(model):
        weight.assign(rounded(weight.numpy()))
    note = "the weights are rounded to 16 bits; only the format tflite-fp16 stores them in 16 bits"
    return Changed(model, notes=(note,))


def ensures(before: KerasModel, after: KerasModel, settings: Settings) -> Claims:
    """Check that every weight is the nearest float16 number to what it was."""
    del settings
    errors, subnormal, lost = [0.0], 0, 0
    for old, new in zip(_floating(before), _floating(after), strict=True):
        was, value = old.numpy(), new.numpy()
        if not np.array_equal(value, rounded(was)):
            raise PromiseError(
                f"the weights '{new.path}' are not the nearest float16 numbers",
                hint="This is a fault of the pass. Take it out of the plan and report it.",
            )
        errors.append(_largest_relative_error(was, value))
        small = (np.abs(was) < LEAST_NORMAL) & (was != 0)
        subnormal += int(np.count_nonzero(small & (value != 0)))
        lost += int(np.count_nonzero(small & (value == 0)))
    return {
        "largest_relative_error": max(errors), "subnormal_weights": float(subnormal), "weights_rounded_to_zero": float(lost),
    }  # fmt: skip


def rounded(values: Array) -> Array:
    """Round to the nearest float16 number, ties to even, in the dtype that the values have."""
    return values.astype(np.float16).astype(values.dtype)


def _largest_relative_error(was: Array, value: Array) -> float:
    """Return the error of the weights in float16's normal range, where 2^-11 is the most that rounding can do."""
    normal = np.abs(was) >= LEAST_NORMAL
    errors = np.abs(value[normal].astype(np.float64) - was[normal]) / np.abs(was[normal].astype(np.float64))
    return float(errors.max(initial=0))


def _floating(model: KerasModel) -> list[KerasVariable]:
    return [weight for weight in model.weights if np.issubdtype(weight.numpy().dtype, np.floating)]
