"""Metrics of numbers against numbers: regression, reconstruction, and what a converted file answers otherwise than its source."""

import numpy as np

from pipeline.quality.statistic import Array, Floats, Quotient, Sums, divided, mean_of_known


def mean_absolute_error(targets: Array, answers: Array) -> Quotient:
    """targets, answers: (rows, ...) alike; the mean is over rows and values."""
    off = np.abs(_flat(targets) - _flat(answers))
    return Quotient(off.sum(1), np.full(len(off), float(off.shape[1])))


def root_mean_square_error(targets: Array, answers: Array) -> Sums:
    """Return the root of the mean over rows and values of the squared errors."""
    squares = np.square(_flat(targets) - _flat(answers))

    def combined(sums: Floats) -> Floats:
        return np.sqrt(divided(sums[:, 0], sums[:, 1]))

    return Sums(np.stack([squares.sum(1), np.full(len(squares), float(squares.shape[1]))], axis=1), combined)


def r2(targets: Array, answers: Array) -> Sums:
    """Return 1 - squared error / variance of the targets, the mean over columns, as scikit-learn's r2_score. NaN: no column varies."""
    exact, off = _flat(targets), np.square(_flat(targets) - _flat(answers))
    columns = exact.shape[1]
    near = exact - exact.mean(0)  # sums of squares far from zero lose digits

    def combined(sums: Floats) -> Floats:
        error, total, squares = (sums[:, 1 + each * columns : 1 + (each + 1) * columns] for each in range(3))
        varied = squares - np.square(total) / sums[:, :1]
        return mean_of_known(1 - divided(error, np.where(varied > LEAST_VARIANCE * squares, varied, 0.0)))

    return Sums(np.concatenate([np.ones((len(exact), 1)), off, near, np.square(near)], axis=1), combined)


LEAST_VARIANCE = 1e-12
"""Of the squares around the middle: less is the rounding of a column that does not vary."""


def signal_to_noise_db(exact: Array, answers: Array) -> Floats:
    """Return 10 log10(power of the exact answers / power of the errors) of each column, (columns,): a dead score cannot hide next to
    pixel coordinates. Infinite where nothing differs; -infinity where only the exact answers are 0.
    """
    signal = np.square(_flat(exact)).sum(0)
    noise = np.square(_flat(exact) - _flat(answers)).sum(0)
    with np.errstate(divide="ignore"):
        ratios = 10 * (np.log10(signal) - np.log10(noise))
    return np.where(noise == 0, np.inf, ratios)


def reconstruction_errors(rows: Array, answers: Array) -> Floats:
    """Return the mean squared error of each row, (rows,): the score of an anomaly."""
    errors: Floats = np.square(_flat(rows) - _flat(answers)).mean(1)
    return errors


def _flat(values: Array) -> Floats:
    return np.asarray(values, np.float64).reshape(len(values), -1)
