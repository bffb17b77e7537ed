"""How far answers are from others. They may be mapped from a file larger than memory."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import StageError
from pipeline.safe_text import shortened

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

CHUNK_BYTES = 16 << 20  # of answers that are looked at at once


def error_of(outputs: Array, source: Array) -> tuple[float, float]:
    """(root mean square error, standard deviation of the source's answers over the rows), both in units of the output.

    See `difference` of NaN and infinity; in the deviation they count as 0.
    """
    rows, width = len(outputs), math.prod(outputs.shape[1:])
    squares, total, total_squares = 0.0, np.zeros(width), np.zeros(width)
    center = finite(source[:1]).reshape(-1)  # sums of squares far from zero lose digits
    for theirs, exact in together(outputs, source):
        wide = finite(exact).reshape(len(exact), width)
        squares += float(np.square(difference(theirs, exact)).sum())
        total += (wide - center).sum(0)
        total_squares += np.square(wide - center).sum(0)
    variance = np.maximum(total_squares / rows - np.square(total / rows), 0)
    return math.sqrt(squares / max(1, rows * width)), float(np.sqrt(variance.mean())) if width else 0.0


def difference(ours: Array, theirs: Array) -> Floats:
    """Return ours - theirs in float64. Where both are NaN, or the same infinity, it is 0; where only one of them is, infinity."""
    one, other = ours.astype(np.float64), theirs.astype(np.float64).reshape(ours.shape)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        apart: Floats = one - other
    odd = ~np.isfinite(apart)
    if odd.any():
        same = (one == other) | (np.isnan(one) & np.isnan(other))
        apart[odd] = np.where(same[odd], 0.0, np.inf)
    return apart


def finite(answers: Array) -> Floats:
    """Return them in float64, with 0 for NaN and infinity."""
    found: Floats = np.nan_to_num(answers.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    return found


def together(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield the same rows of each array, some at a time."""
    step = max(1, CHUNK_BYTES // max(1, *(each[:1].nbytes for each in arrays)))
    for start in range(0, len(arrays[0]), step):
        yield tuple(np.asarray(each[start : start + step]) for each in arrays)


def chunks(array: Array) -> Iterator[Array]:
    """Yield the rows of an array, some at a time."""
    for (piece,) in together(array):
        yield piece


def rows_not_finite(outputs: Array, source: Array | None = None) -> int:
    """Return how many rows have NaN or infinity; with a source of the same shape, how many have them in other places than it."""
    if source is None or source.shape != outputs.shape:
        return sum(_rows_with(~np.isfinite(each)) for each in chunks(outputs))
    return sum(_rows_with(~np.isfinite(difference(*pieces))) for pieces in together(outputs, source))


def _rows_with(bad: npt.NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(bad.reshape(len(bad), -1).any(axis=1)))


def check_finite(outputs: Array, name: str, output: str = "", source: Array | None = None) -> None:
    """Raise StageError if an answer is NaN or infinite, except where its source's is. `output`: its name, where there are several."""
    bad = rows_not_finite(outputs, source)
    if not bad:
        return
    where = f" in the output '{shortened(output, 100)}'" if output else ""
    if source is not None and rows_not_finite(source):
        raise StageError(
            f"{name} answers NaN or infinity in other places than its source, in {bad:,} of {len(outputs):,} rows{where}",
            hint="Integers of 8 bits hold neither: convert to a format in floating point, or cut the network before them.",
        )
    raise StageError(
        f"{name} answers NaN or infinity for {bad:,} of {len(outputs):,} rows{where}",
        hint="Check the weights and that the rows are scaled as in training (for example to 0..1).",
    )
