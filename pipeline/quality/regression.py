"""Metrics of numbers against numbers: regression and reconstruction."""

from dataclasses import dataclass

import numpy as np

from pipeline.quality.statistic import Array, Floats, Quotient, RootQuotient, Weights, divided, mean_of_known


def mean_absolute_error(targets: Array, answers: Array) -> Quotient:
    """targets, answers: (rows, ...) alike; the mean is over rows and values."""
    off = np.abs(_flat(targets) - _flat(answers))
    return Quotient(off.sum(1), np.full(len(off), float(off.shape[1])))


def root_mean_square_error(targets: Array, answers: Array) -> RootQuotient:
    """Return the root of the mean over rows and values of the squared errors."""
    squares = np.square(_flat(targets) - _flat(answers))
    return RootQuotient(squares.sum(1), np.full(len(squares), float(squares.shape[1])))


@dataclass(frozen=True, slots=True)
class Determination:
    """The coefficient of determination. `errors`: squared, `targets`: less their mean over the rows; (rows, columns)."""

    errors: Floats
    targets: Floats

    @property
    def rows(self) -> int:
        return len(self.errors)

    def value(self, weights: Weights) -> Floats:
        squares = weights @ np.square(self.targets)
        varied = squares - np.square(weights @ self.targets) / weights.sum(1, keepdims=True)
        varied[varied <= LEAST_VARIANCE * squares] = 0
        return mean_of_known(1 - divided(weights @ self.errors, varied))


def r2(targets: Array, answers: Array) -> Determination:
    """Return 1 - squared error / variance of the targets, the mean over columns, as scikit-learn's r2_score.

    Columns that do not vary are left out; NaN where none does.
    """
    exact = _flat(targets)
    # sums of squares far from zero lose digits
    return Determination(np.square(exact - _flat(answers)), exact - exact.mean(0))


LEAST_VARIANCE = 1e-12
"""Of the squares around the middle: less is the rounding of a column that does not vary."""


def reconstruction_errors(rows: Array, answers: Array) -> Floats:
    """Return the mean squared error of each row, (rows,): the score of an anomaly."""
    errors: Floats = np.square(_flat(rows) - _flat(answers)).mean(1)
    return errors


def _flat(values: Array) -> Floats:
    return np.asarray(values, np.float64).reshape(len(values), -1)
