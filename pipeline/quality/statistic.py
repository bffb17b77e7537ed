"""What a metric keeps of each row, and its value under weights of the rows."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float64]
"""(draws, rows): how often each row counts in each draw."""


class Statistic(Protocol):
    @property
    def rows(self) -> int: ...

    def value(self, weights: Weights) -> Floats:
        """Return the metric in each draw, (draws,); NaN where the drawn rows do not define it."""


def plain(statistic: Statistic) -> float:
    """Return the metric of the rows as they are."""
    return float(statistic.value(np.ones((1, statistic.rows)))[0])


@dataclass(frozen=True, slots=True)
class Quotient:
    """The sum of `parts` over the sum of `wholes`, (rows,) each: a mean over rows, values, pixels or symbols."""

    parts: Floats
    wholes: Floats

    @property
    def rows(self) -> int:
        return len(self.parts)

    def value(self, weights: Weights) -> Floats:
        return divided(weights @ self.parts, weights @ self.wholes)


def mean(of_rows: Array) -> Quotient:
    """Return the mean of one number for each row, (rows,)."""
    values = np.asarray(of_rows, np.float64)
    return Quotient(values, np.ones(len(values)))


@dataclass(frozen=True, slots=True)
class RootQuotient(Quotient):
    """The square root of such a quotient."""

    def value(self, weights: Weights) -> Floats:
        return np.sqrt(divided(weights @ self.parts, weights @ self.wholes))


@dataclass(frozen=True, slots=True)
class MeanQuotient(Quotient):
    """The mean over classes of a quotient of each, `parts` and `wholes`: (rows, classes). Classes whose whole is 0 are left out."""

    def value(self, weights: Weights) -> Floats:
        return mean_of_known(divided(weights @ self.parts, weights @ self.wholes))


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of the same metric of several columns; those that the drawn rows do not define are left out."""

    of: tuple[Statistic, ...]

    @property
    def rows(self) -> int:
        return self.of[0].rows

    def value(self, weights: Weights) -> Floats:
        return mean_of_known(np.stack([each.value(weights) for each in self.of], axis=1))


DRAWS = 200
"""How often rows are drawn again for a metric that takes no weights, and so has to be computed each time."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A metric that takes no weights: its value of the rows as they are, and of the draws of them, which are the same for every file."""

    values: Floats  # (1 + draws,), NaN where the drawn rows do not define it; fewer draws than DRAWS: it took too long
    count: Array  # (), of the rows

    @property
    def rows(self) -> int:
        return int(self.count)

    def value(self, weights: Weights) -> Floats:
        if not (weights == 1).all():
            raise ValueError("this metric is not known under weights")
        return np.full(len(weights), self.values[0])


def divided(parts: Floats, wholes: Floats) -> Floats:
    """Return the quotients; NaN where there is nothing to divide by."""
    found: Floats = np.divide(parts, wholes, out=np.full(np.shape(parts), np.nan), where=wholes != 0)
    return found


def mean_of_known(values: Floats) -> Floats:
    """Return the mean along the last axis of what is not NaN; NaN where nothing is known."""
    known = ~np.isnan(values)
    return divided(np.where(known, values, 0.0).sum(-1), known.sum(-1).astype(np.float64))
