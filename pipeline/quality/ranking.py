"""Metrics of scores for true and false rows, at all thresholds together: AUROC, average precision, equal error rate."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.quality.statistic import Array, Floats, Weights, divided

AT_ONCE_VALUES = 4_000_000  # of draws times thresholds: 32 MB a matrix


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows by falling score. Rows of equal scores stand together: `last` has the place of the last of each score."""

    order: npt.NDArray[np.int64]
    true: npt.NDArray[np.bool_]  # in that order
    last: npt.NDArray[np.int64]

    @property
    def rows(self) -> int:
        return len(self.order)

    def counts(self, weights: Weights) -> tuple[Floats, Floats]:
        """Return how many true and how many false rows have at least each score, (draws, scores)."""
        ordered = weights[:, self.order]
        true = np.cumsum(np.where(self.true, ordered, 0.0), axis=1)[:, self.last]
        false = np.cumsum(np.where(self.true, 0.0, ordered), axis=1)[:, self.last]
        return true, false

    def value(self, weights: Weights) -> Floats:
        some = max(1, AT_ONCE_VALUES // max(1, self.rows))
        parts = [self.of_counts(*self.counts(weights[at : at + some])) for at in range(0, len(weights), some)]
        return np.concatenate(parts)

    def of_counts(self, true: Floats, false: Floats) -> Floats:
        raise NotImplementedError


class Auroc(Ranked):
    """The area under the receiver operating characteristic; rows of equal scores count half (the Mann-Whitney statistic)."""

    def of_counts(self, true: Floats, false: Floats) -> Floats:
        rise, width = _steps(true), _steps(false)
        area = (width * (true - rise / 2)).sum(1)
        return divided(area, true[:, -1] * false[:, -1])


class AveragePrecision(Ranked):
    """The sum of precision times the step in recall, without interpolation, as scikit-learn's average_precision_score."""

    def of_counts(self, true: Floats, false: Floats) -> Floats:
        precision = np.nan_to_num(divided(true, true + false))
        return divided((_steps(true) * precision).sum(1), true[:, -1])


class EqualErrorRate(Ranked):
    """Where misses are as many as false alarms, on the straight line between the two thresholds around it."""

    def of_counts(self, true: Floats, false: Floats) -> Floats:
        miss = 1 - divided(true, np.broadcast_to(true[:, -1:], true.shape))
        alarm = divided(false, np.broadcast_to(false[:, -1:], false.shape))
        miss = np.concatenate([np.ones((len(miss), 1)), miss], axis=1)
        alarm = np.concatenate([np.zeros((len(alarm), 1)), alarm], axis=1)
        gap, draws = miss - alarm, np.arange(len(miss))
        after = np.argmax(gap <= 0, axis=1)  # the first threshold is above all scores, where the gap is 1
        before = after - 1
        part = divided(gap[draws, before], gap[draws, before] - gap[draws, after])
        rate: Floats = miss[draws, before] + part * (miss[draws, after] - miss[draws, before])
        return rate


def auroc(labels: Array, scores: Array) -> Auroc:
    """labels: (rows,), true where not 0; scores: (rows,), the larger the more likely true. NaN without both kinds of rows."""
    return Auroc(*_ranked(labels, scores))


def average_precision(labels: Array, scores: Array) -> AveragePrecision:
    """Labels and scores as of `auroc`. NaN without true rows."""
    return AveragePrecision(*_ranked(labels, scores))


def equal_error_rate(labels: Array, scores: Array) -> EqualErrorRate:
    """Labels and scores as of `auroc`. NaN without both kinds of rows."""
    return EqualErrorRate(*_ranked(labels, scores))


def _ranked(labels: Array, scores: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    ordered = np.asarray(scores)[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    return order, np.asarray(labels)[order] != 0, last


def _steps(counts: Floats) -> Floats:
    return np.diff(counts, axis=1, prepend=0.0)
