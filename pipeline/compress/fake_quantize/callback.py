"""Fake quantization for a training of one's own: the same layers and ranges as the pass `quantize_aware`.

model = fake_quantized(model, rows)
model.compile(...)
model.fit(x, y, callbacks=[ObserveRanges(rows)])
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline import frameworks
from pipeline.compress.context import Dataset
from pipeline.compress.fake_quantize.check import check
from pipeline.compress.fake_quantize.fold_batch_norm import fold_batch_norm
from pipeline.compress.fake_quantize.insert import insert
from pipeline.compress.fake_quantize.observe import observe
from pipeline.compress.rows import Batches, called, structured_as
from pipeline.errors import StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasCallback, KerasModel, Logs

EVERY = 100
"""Training steps between two looks at the ranges. With 500 rows and batches of 128 that is about 1 % of the training's time; a look in
each step, as a moving average needs it, costs more."""

FOLDING_ERROR = 1e-3
"""The most that folding may move an answer, as a share of the largest: what the converters to float32 are allowed too, which fold as well."""


def fake_quantized(model: KerasModel, rows: Array | Mapping[str, Array], weight_bits: Literal[4, 8] = 8) -> KerasModel:
    """A copy of the model that computes as an int8 file will, with the ranges that `rows` reach. Batch normalisation is folded.

    `rows` (rows, ...): of each input by its name, or of the only one.

    Raises StageError naming the layer that cannot be computed in 8 bits.
    """
    check(model)
    folded = fold_batch_norm(model)
    given = Batches(model, Dataset(rows), "the calibration")
    _check_same(model, folded.model, given.take(slice(frameworks.BATCH_ROWS)))
    quantized = structured_as(model, insert(folded, weight_bits))
    observe(quantized, given)
    return quantized


def _check_same(model: KerasModel, folded: KerasModel, x: list[Array]) -> None:
    """Raise StageError if the folded model answers something else: a training would learn that, and nothing after it would notice."""
    before, after = ([np.asarray(each) for each in called(one, x, training=False)] for one in (model, folded))
    for was, is_now in zip(before, after, strict=True):
        frameworks.check_finite(was, model.name)
        largest, apart = float(np.abs(was).max(initial=0)), float(np.abs(was - is_now).max(initial=0))
        if not apart <= FOLDING_ERROR * largest:
            raise StageError(
                f"quantize_aware cannot fold the batch normalisation of {model.name}: its answers would change by up to {apart:.3g}, "
                f"where the largest is {largest:.3g}",
                hint="This is a fault of the pass. Take it out of the plan and report it.",
            )


def ObserveRanges(  # noqa: N802 - keras is imported only here
    rows: Array | Mapping[str, Array], freeze_after: float = 0.5, steps: int | None = None
) -> KerasCallback:
    """A Keras callback that keeps the ranges of a fake-quantized model up to date while its weights change, then leaves them.

    They are observed again every EVERY steps and, the last time, after the share `freeze_after` of the training; `steps` is the length of
    the training where Keras does not know it. At the end, kernels and biases get the values that they have in a file.
    """
    import keras

    from pipeline.frameworks import fake_quantization

    class Observing(keras.callbacks.Callback):  # type: ignore[misc]
        done = 0
        last = 0

        def on_train_begin(self, logs: Logs = None) -> None:
            del logs
            known = self.params or {}
            total = (known.get("steps") or 0) * (known.get("epochs") or 0) or steps or 0
            self.done, self.last = 0, round(freeze_after * total)

        def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
            del batch, logs
            self.done += 1
            if self.done == self.last or (self.done < self.last and self.done % EVERY == 0):
                observe(self.model, Batches(self.model, Dataset(rows), "the calibration"))

        def on_train_end(self, logs: Logs = None) -> None:
            del logs
            fake_quantization.settle(self.model)

        def state(self) -> list[npt.ArrayLike]:
            """Return what a training needs that is stopped and resumed."""
            return [self.done]

        def restore(self, state: list[Array]) -> None:
            self.done = int(state[0])

    return Observing()
