"""The answers to the first rows, which every launch gives: how far may they be from this host's?"""

import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from device_agent import wire
from pipeline import frameworks
from pipeline.measure.golden import AT_LEAST, TIMES_OWN_ERROR, Array, Reference, Wide

NOT_FINITE = sys.float_info.max  # what an agent says for NaN and infinity


def of_answers(outputs: Sequence[Array], *, sequences: bool = False) -> tuple[float, ...]:
    """Return what an agent says of these answers as `wire.Launched.golden`; of sequences it has made the first step only."""
    each = values_each(len(outputs))
    found = []
    for row in range(min(wire.GOLDEN_ROWS, *map(len, outputs))):
        answers = [output[row][0] if sequences else output[row] for output in outputs]
        values = [float(value) for answer in answers for value in np.asarray(answer).ravel()[:each]]
        found += [value if math.isfinite(value) else NOT_FINITE for value in values[: wire.GOLDEN_VALUES]]
    return tuple(found)


def values_each(outputs: int) -> int:
    """How many values an agent reports of each output, of the first rows."""
    return max(1, wire.GOLDEN_VALUES // max(1, outputs))


class FirstOutput(NamedTuple):
    """How far one output of a launch may be from the right one, in the first rows: a large output must not hide a small one."""

    name: str
    values: int  # of each row
    size: float  # L2, of right answers: what a distance is divided by
    within: float  # the most that this may be


def of_host(references: Sequence[Reference]) -> tuple[float, ...]:
    """Return the host's answers to the first rows, for a file that the board does not answer all rows of."""
    answers = [np.asarray(each.answers[each.rows[: wire.GOLDEN_ROWS]]) for each in references]
    return of_answers(answers, sequences=any(each.sequences for each in references))


def outputs_of(references: Sequence[Reference], *, of_host: bool) -> tuple[FirstOutput, ...]:
    """Return what is allowed for each output. Against answers `of_host` it is as much as other kernels are apart."""
    left, found = wire.GOLDEN_VALUES, []
    for each in references:
        values = min(values_each(len(references)), each.width, left)
        left -= values
        first = _cut(each.answers, each._replace(rows=each.rows[: wire.GOLDEN_ROWS]), each.width)
        count = len(first) * values
        numbers = frameworks.finite(first)
        typical = math.sqrt(count * float(np.square(numbers).mean())) if count else 0.0  # the first values may all be 0
        size = max(float(np.linalg.norm(numbers[:, :values])), typical, 1e-12)
        own = _own_error(each, values) * math.sqrt(len(first)) if of_host else 0.0
        found.append(FirstOutput(each.output, values, size, max(AT_LEAST, TIMES_OWN_ERROR * own / size)))
    return tuple(found)


def _own_error(reference: Reference, values: int) -> float:
    """How far the others are from the reference in the row that is the worst: four are not a sample."""
    if not values:
        return 0.0
    here = _cut(reference.answers, reference, values)
    own = [
        np.linalg.norm(frameworks.difference(_cut(other, reference, values), here), axis=1)
        for other in reference.others
    ]
    return max(filter(math.isfinite, (float(each.max()) for each in own)), default=0.0)


def _cut(answers: Array, reference: Reference, values: int) -> Wide:
    """Return this many values of each row, of sequences of its first step; of a file that is mapped only these are read."""
    first = answers[:, 0] if reference.sequences else answers
    return first.reshape(len(first), reference.width)[:, :values][reference.rows].astype(np.float64)
