"""Metrics of embeddings, and of points in a picture."""

import numpy as np

from pipeline.quality.statistic import Array, Floats, Quotient, mean

AT_ONCE_ROWS = 1024


def cosine_similarity(exact: Array, answers: Array) -> Quotient:
    """Return the mean over rows of the cosine between two embeddings of the same row, (rows, size) each. A zero has the cosine 0."""
    return mean((_unit(exact) * _unit(answers)).sum(1))


def recall_at(labels: Array, embeddings: Array, k: int = 1) -> Quotient:
    """Return the share of rows that have a row of their own label among the `k` nearest others, by cosine.

    Each row asks all others, however often it is weighted: the others are the gallery, and no sample.
    """
    unit, found = _unit(embeddings), np.zeros(len(embeddings))
    for start in range(0, len(unit), AT_ONCE_ROWS):
        near = unit[start : start + AT_ONCE_ROWS] @ unit.T
        own = np.arange(len(near))
        near[own, start + own] = -np.inf
        nearest = np.argsort(-near, axis=1, kind="stable")[:, :k]
        found[start : start + len(near)] = (labels[nearest] == labels[start + own, None]).any(1)
    return mean(found)


def correct_keypoints(points: Array, answers: Array, sizes: Array, visible: Array, share: float = 0.2) -> Quotient:
    """Return the share of visible points that are found within `share` of their row's size (PCK; Yang, Ramanan 2013).

    points, answers: (rows, points, 2); sizes: (rows,), such as the longer side of the object's box, in the same unit; visible: (rows,
    points) of bool.
    """
    distance = np.linalg.norm(np.asarray(points, np.float64) - answers, axis=-1)
    near = (distance <= share * np.asarray(sizes, np.float64)[:, None]) & visible
    return Quotient(near.sum(1).astype(np.float64), visible.sum(1).astype(np.float64))


def _unit(embeddings: Array) -> Floats:
    flat = np.asarray(embeddings, np.float64).reshape(len(embeddings), -1)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    unit: Floats = np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)
    return unit
