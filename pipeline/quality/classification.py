"""Metrics of one class for each row, or of several that may be true together."""

import numpy as np

from pipeline.quality.statistic import Array, Floats, Quotient, Sums, divided, mean, mean_of_known


def top_k(labels: Array, scores: Array, k: int = 1) -> Quotient:
    """Return the share of rows whose label is among the `k` largest scores. labels: (rows,), scores: (rows, classes).

    A score that ties with the label's counts as larger where its class comes first, as argmax has it.
    """
    rows = np.arange(len(labels))
    own = scores[rows, labels][:, None]
    earlier = np.arange(scores.shape[1])[None, :] < labels[:, None]
    return mean(((scores > own) | ((scores == own) & earlier)).sum(1) < k)


def balanced_accuracy(labels: Array, chosen: Array, classes: int) -> Sums:
    """Return the mean over classes of the share of their rows that is right; classes without rows are left out."""

    def combined(sums: Floats) -> Floats:
        of = sums.reshape(len(sums), 2, classes)
        return mean_of_known(divided(of[:, 0], of[:, 1]))

    right = _one_hot(labels, classes) * (labels == chosen)[:, None]
    return Sums(np.concatenate([right, _one_hot(labels, classes)], axis=1), combined)


def f1(labels: Array, chosen: Array, classes: int) -> Sums:
    """Return the mean over classes of 2 TP / (2 TP + FP + FN); classes that are neither labelled nor chosen are left out.

    labels, chosen: (rows,) of class numbers.
    """
    return f1_of_each(_one_hot(labels, classes) > 0, _one_hot(chosen, classes) > 0)


def f1_of_each(labels: Array, chosen: Array) -> Sums:
    """As `f1`, where several may be true together: (rows, classes) of bool."""
    classes = labels.shape[1]

    def combined(sums: Floats) -> Floats:
        of = sums.reshape(len(sums), 2, classes)
        return mean_of_known(divided(2 * of[:, 0], of[:, 1]))

    both = (labels & chosen).astype(np.float64)
    either = labels.astype(np.float64) + chosen.astype(np.float64)
    return Sums(np.concatenate([both, either], axis=1), combined)


def f1_of_true(labels: Array, chosen: Array) -> Sums:
    """Return the F1 of the true class alone, of two. labels, chosen: (rows,) of bool."""
    return f1_of_each(np.asarray(labels, bool)[:, None], np.asarray(chosen, bool)[:, None])


def _one_hot(classes: Array, count: int) -> Floats:
    hot: Floats = (np.asarray(classes)[:, None] == np.arange(count)).astype(np.float64)
    return hot
