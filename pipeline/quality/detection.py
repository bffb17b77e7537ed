"""Mean average precision of boxes, as COCO defines it: ten overlaps from 0.5 to 0.95, precision at 101 recalls, 100 boxes a row.

T.-Y. Lin et al.: Microsoft COCO, 2014. Boxes are matched once, best score first; a weighting of the rows then only counts again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.quality.statistic import Array, Floats, Weights, mean_of_known

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST_BOXES = 100
AT_ONCE_VALUES = 4_000_000  # of draws of the found boxes of a class: 32 MB
AT_ONCE_VALUES = 1_000_000  # of draws times found boxes: 8 MB a matrix


class Boxes(NamedTuple):
    """The boxes of one row. boxes: (n, 4) as x0, y0, x1, y1; classes: (n,); scores: (n,), of found boxes."""

    boxes: Array
    classes: Array
    scores: Array | None = None


@dataclass(frozen=True, slots=True)
class Detections:
    """Found boxes by class, in a class by falling score. The mean is over classes with labels, and over the overlaps of `hit`."""

    truths: Floats  # (classes, rows): how many boxes are labelled
    kind: npt.NDArray[np.int64]  # (found,), which of the classes
    row: npt.NDArray[np.int64]  # (found,)
    hit: npt.NDArray[np.bool_]  # (overlaps, found): it matches a labelled box

    @property
    def rows(self) -> int:
        return int(self.truths.shape[1])

    def value(self, weights: Weights) -> Floats:
        found = np.full((len(weights), len(self.truths), len(self.hit)), np.nan)
        start = 0
        for place, truths in enumerate(self.truths):
            end = start + int(np.count_nonzero(self.kind == place))
            row, hits = self.row[start:end], [np.flatnonzero(each) for each in self.hit[:, start:end]]
            start, wanted = end, weights @ truths
            at_once = max(1, AT_ONCE_VALUES // max(1, len(row)))
            for first in range(0, len(weights), at_once):
                draws = slice(first, first + at_once)
                counted = weights[draws][:, row]
                ranks = np.cumsum(counted, axis=1)
                for level, hit in enumerate(hits):
                    found[draws, place, level] = _precision(counted[:, hit], ranks[:, hit], wanted[draws])
        return mean_of_known(found.reshape(len(weights), -1))


def _precision(hits: Floats, ranks: Floats, wanted: Floats) -> Floats:
    """Return the average precision of one class in each draw: (draws,), NaN where no drawn row has the class.

    `hits`, `ranks`: (draws, hits), of the found boxes that match, best score first: how often each counts, and how many boxes are counted up to
    it. Precision is highest at hits, so the others only count in the ranks.
    """
    true = np.cumsum(hits, axis=1)
    precision = true / np.maximum(ranks, 1)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # the best at this recall or a larger one
    recall = np.divide(true, wanted[:, None], out=np.zeros_like(true), where=wanted[:, None] > 0)
    reached = np.searchsorted(RECALLS, recall, side="right")
    found: Floats = (precision * np.diff(reached, axis=1, prepend=0)).sum(1) / len(RECALLS)
    return np.where(wanted > 0, found, np.nan)


def mean_average_precision(truths: Sequence[Boxes], found: Sequence[Boxes]) -> Detections:
    """Return mAP@[.5:.95]. A class without labelled boxes is left out. ValueError for a box whose sides are negative."""
    for number, each in enumerate([*truths, *found]):
        boxes = np.asarray(each.boxes).reshape(-1, 4)
        if (boxes[:, 2:] < boxes[:, :2]).any():
            raise ValueError(
                f"row {number % len(truths)} has a box whose right or lower side is before its left or upper one"
            )
    classes = sorted({int(one) for each in truths for one in each.classes})
    wanted = np.zeros((len(classes), len(truths)))
    kinds, rows, hits = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros((len(OVERLAPS), 0), bool)]
    for place, one in enumerate(classes):
        wanted[place], row, hit = _of_class(one, truths, found)
        kinds.append(np.full(len(row), place))
        rows.append(row)
        hits.append(hit)
    return Detections(wanted, np.concatenate(kinds), np.concatenate(rows), np.concatenate(hits, axis=1))


def at_half(detections: Detections) -> Detections:
    """Return mAP@.5 of what was matched already."""
    return Detections(detections.truths, detections.kind, detections.row, detections.hit[:1])


def overlaps_of(some: Array, others: Array) -> Floats:
    """Return the intersection over union of (n, 4) with (m, 4) boxes, (n, m)."""
    some, others = (np.asarray(each, np.float64).reshape(-1, 4) for each in (some, others))
    sides = np.minimum(some[:, None, 2:], others[None, :, 2:]) - np.maximum(some[:, None, :2], others[None, :, :2])
    both = np.clip(sides, 0, None).prod(2)
    areas = [np.clip(each[:, 2:] - each[:, :2], 0, None).prod(1) for each in (some, others)]
    either = areas[0][:, None] + areas[1][None] - both
    found: Floats = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return found


def _of_class(one: int, truths: Sequence[Boxes], found: Sequence[Boxes]) -> tuple[Floats, Array, Array]:
    """Return how many boxes of a class each row has, and of those that are found the row, and at which overlaps they match."""
    wanted = np.zeros(len(truths))
    scores, rows, hits = [np.zeros(0)], [np.zeros(0, np.int64)], [np.zeros((len(OVERLAPS), 0), bool)]
    for row, (truth, answer) in enumerate(zip(truths, found, strict=True)):
        labelled = np.asarray(truth.boxes).reshape(-1, 4)[np.asarray(truth.classes) == one]
        wanted[row] = len(labelled)
        assert answer.scores is not None
        own = np.flatnonzero(np.asarray(answer.classes) == one)
        own = own[np.argsort(-np.asarray(answer.scores)[own], kind="stable")][:MOST_BOXES]
        scores.append(np.asarray(answer.scores, np.float64)[own])
        rows.append(np.full(len(own), row))
        hits.append(_hits(overlaps_of(np.asarray(answer.boxes).reshape(-1, 4)[own], labelled)))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return wanted, np.concatenate(rows)[order], np.concatenate(hits, axis=1)[:, order]


def _hits(overlap: Floats) -> npt.NDArray[np.bool_]:
    """Return whether each found box, best score first, takes a labelled one that is still free: (OVERLAPS, found)."""
    hit = np.zeros((len(OVERLAPS), overlap.shape[0]), bool)
    if not overlap.shape[1]:
        return hit
    for level, least in enumerate(OVERLAPS):
        free = np.ones(overlap.shape[1], bool)
        for place, of_truths in enumerate(overlap):
            best = (
                free.size - 1 - int(np.where(free, of_truths, -1.0)[::-1].argmax())
            )  # the last of equal ones, as COCO
            if free[best] and of_truths[best] >= min(least, 1 - 1e-10):
                free[best], hit[level, place] = False, True
    return hit
