"""Train the model again, for a few epochs: with its labels, with the answers of the model as it was, or with both.

It makes nothing smaller. It wins back accuracy that the passes before it lost; zeros in kernels stay zeros.
"""

import numpy as np

from pipeline.compress import training as train
from pipeline.compress.base import Changed, Claims
from pipeline.compress.context import Context
from pipeline.compress.settings import FAULT, PassSettings, Recover
from pipeline.compress.sparsity.kernels import pruned_kernels
from pipeline.errors import PromiseError
from pipeline.frameworks.types import KerasModel


class Settings(Recover, PassSettings, frozen=True):
    """The keys of the table `recover` that other passes have, as keys of the pass."""


def requires(model: KerasModel, settings: Settings, context: Context) -> None:
    """Refuse rows that do not fit the model."""
    train.check(model, settings, context)


def apply(model: KerasModel, settings: Settings, context: Context) -> Changed:
    """Train."""
    notes = train.recover(model, settings, context)
    return Changed(train.without_training_state(model), notes)


def ensures(before: KerasModel, after: KerasModel, settings: Settings) -> Claims:
    """Zeros of kernels are zeros still. (No weight has changed where the training made it worse.)"""
    del settings
    held = {id(variable) for variable in pruned_kernels(before)}
    zeros = changed = 0
    for old, new in zip(before.weights, after.weights, strict=True):  # all: of a frozen model none is called trainable
        was, value = old.numpy(), new.numpy()
        gone = int(np.count_nonzero(value[was == 0])) if id(old) in held else 0
        if gone:
            raise PromiseError(f"{gone:,} weights of '{new.path}' that were zero are no longer zero", hint=FAULT)
        zeros += int(np.count_nonzero(value == 0))
        changed += int(np.count_nonzero(value != was))
    return {"changed_weights": float(changed), "zero_weights": float(zeros)}
