"""How much each training row counts: `sample_weight` of the rows, and [training] class_weight of their labels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.compress.context import Context
from pipeline.compress.training.label_forms import PART_ROWS, Learned
from pipeline.errors import DataError, PlanError
from pipeline.frameworks import Array

KEY = "training.class_weight"


class RowWeights(NamedTuple):
    sample: Array | None  # (rows,) or (rows, 1), which may be mapped
    labels: Learned | None = None  # classes, one for each row
    of_class: Array | None = None  # by the number of the class

    def take(self, rows: Array) -> Array:
        """Return the weights of these rows, (rows,) float32."""
        found = np.ones(len(rows), np.float32)
        if self.sample is not None:
            found = found * np.asarray(self.sample[rows], np.float32).reshape(len(rows))
        if self.labels is not None and self.of_class is not None:
            found = found * self.of_class[self.labels.take(rows).astype(np.int64).reshape(len(rows))]
        return found


def weights_of(context: Context, learned: Sequence[Learned]) -> RowWeights | None:
    """Return the weights of the training rows; None: all count alike. DataError or PlanError for weights that cannot be."""
    assert context.training is not None
    sample, by_class = context.training.weights, context.learn.class_weight
    if sample is not None:
        _check(sample, context.training.rows)
    if not by_class:
        return None if sample is None else RowWeights(sample)
    if not learned:
        raise PlanError(
            f"{KEY}: nothing is learned from labels, so no class has a weight",
            hint="Give data.training labels and a loss, or leave it out.",
        )
    of = learned[0]
    size = int(np.prod(of.y.shape[1:]))
    if len(learned) > 1 or size != 1 or of.y.dtype.kind not in "iub":
        told = (
            "several outputs learn from labels"
            if len(learned) > 1
            else f"the labels of '{of.name}' are not one class for each row"
        )
        raise PlanError(f"{KEY}: {told}", hint="Give weights with the rows, sample_weight: one number for each row.")
    numbers = {int(each): weight for each, weight in by_class.items()}
    most = 1 + max(int(np.max(of.y[start : start + PART_ROWS])) for start in range(0, len(of.y), PART_ROWS))
    unknown = [number for number in numbers if number >= most]
    if unknown:
        raise PlanError(
            f"{KEY}: no label is {unknown[0]}; they go up to {most - 1}", hint="Number the classes as the labels do."
        )
    table = np.array([numbers.get(number, 1.0) for number in range(most)], np.float32)
    return RowWeights(sample, of, table)


def _check(weights: Array, rows: int) -> None:
    if weights.shape not in ((rows,), (rows, 1)):
        raise DataError(
            f"the weights of data.training have the shape {weights.shape}, and there are {rows:,} rows",
            hint="Give sample_weight one number for each row.",
        )
    total = 0.0
    for start in range(0, rows, PART_ROWS):
        part = np.asarray(weights[start : start + PART_ROWS], np.float64)
        if not (np.isfinite(part) & (part >= 0)).all():
            raise DataError(
                "the weights of data.training hold negative numbers, NaN or infinity",
                hint="1 counts as usual, 2 as two such rows, 0 not at all.",
            )
        total += float(part.sum())
    if not total:
        raise DataError(
            "the weights of data.training are all 0, so that nothing is learned", hint="Leave such rows out instead."
        )
