"""Metrics of one class for each row, or of several that may be true together."""

import numpy as np

from pipeline.quality.statistic import Array, Floats, MeanQuotient, Quotient, mean


def top_k(labels: Array, scores: Array, k: int = 1) -> Quotient:
    """Return the share of rows whose label is among the `k` largest scores. labels: (rows,), scores: (rows, classes).

    A score that ties with the label's counts as larger where its class comes first, as argmax has it.
    """
    rows = np.arange(len(labels))
    own = scores[rows, labels][:, None]
    earlier = np.arange(scores.shape[1])[None, :] < labels[:, None]
    return mean(((scores > own) | ((scores == own) & earlier)).sum(1) < k)


def balanced_accuracy(labels: Array, chosen: Array, classes: int) -> MeanQuotient:
    """Return the mean over classes of the share of their rows that is right; classes without rows are left out.

    labels, chosen: (rows,) of class numbers.
    """
    of_class = _one_hot(labels, classes)
    return MeanQuotient(of_class * (labels == chosen)[:, None], of_class)


def f1(labels: Array, chosen: Array, classes: int) -> MeanQuotient:
    """Return the mean over classes of 2 TP / (2 TP + FP + FN); classes that are neither labelled nor chosen are left out."""
    return f1_of_each(_one_hot(labels, classes) > 0, _one_hot(chosen, classes) > 0)


def f1_of_each(labels: Array, chosen: Array) -> MeanQuotient:
    """As `f1`, where several may be true together: (rows, classes) of bool."""
    return MeanQuotient(2 * (labels & chosen).astype(np.float64), labels.astype(np.float64) + chosen)


def f1_of_true(labels: Array, chosen: Array) -> MeanQuotient:
    """Return the F1 of the true class alone, of two. labels, chosen: (rows,) of bool."""
    return f1_of_each(np.asarray(labels, bool)[:, None], np.asarray(chosen, bool)[:, None])


def _one_hot(classes: Array, count: int) -> Floats:
    hot: Floats = (np.asarray(classes)[:, None] == np.arange(count)).astype(np.float64)
    return hot
