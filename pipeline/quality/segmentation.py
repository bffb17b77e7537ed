"""Metrics of maps of classes."""

import numpy as np

from pipeline.quality.statistic import Array, MeanQuotient, Quotient

IGNORED = 255
"""The label of pixels that count nowhere, as PASCAL VOC and Cityscapes write them."""


def pixel_accuracy(labels: Array, chosen: Array, ignored: int | None = IGNORED) -> Quotient:
    """Return the share of pixels whose class is right. labels, chosen: integers (rows, height, width)."""
    counted = np.ones(labels.shape, bool) if ignored is None else labels != ignored
    axes = tuple(range(1, labels.ndim))
    return Quotient(((labels == chosen) & counted).sum(axes).astype(np.float64), counted.sum(axes).astype(np.float64))


def mean_iou(labels: Array, chosen: Array, classes: int, ignored: int | None = IGNORED) -> MeanQuotient:
    """Return the mean over classes of intersection over union, each summed over all rows (PASCAL VOC). A class that is neither labelled
    nor chosen is left out.
    """
    both, either = np.zeros((2, len(labels), classes))
    for row, (label, choice) in enumerate(zip(labels, chosen, strict=True)):
        counted = np.ones(label.shape, bool) if ignored is None else label != ignored
        pairs = classes * label[counted].astype(np.int64) + choice[counted]
        table = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        both[row] = table.diagonal()
        either[row] = table.sum(0) + table.sum(1) - both[row]
    return MeanQuotient(both, either)
