"""Numbers for channels, and which of them live and die together: a union-find over arrays."""

import numpy as np

from pipeline.frameworks import Array


class Numbers:
    """Numbers from 0; joined ones have one root. What must stay is marked with the reason."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.kept: dict[int, str] = {}  # root -> why it stays

    def new(self, count: int) -> Array:
        first = len(self.parent)
        self.parent += range(first, first + count)
        return np.arange(first, first + count)

    def roots(self, ids: Array) -> Array:
        """Return the root of every number."""
        parent = np.asarray(self.parent)
        found = np.asarray(ids)
        while not np.array_equal(up := parent[found], found):
            found = up
        return found

    def join(self, one: Array, other: Array) -> None:
        """Let these live and die together, pair by pair (the arrays broadcast)."""
        pairs = np.stack([side.ravel() for side in np.broadcast_arrays(one, other)], 1)
        for a, b in np.unique(pairs, axis=0).tolist():
            left, right = self._root(a), self._root(b)
            if left != right:
                self.parent[right] = left
                if right in self.kept:
                    self.kept.setdefault(left, self.kept.pop(right))

    def keep(self, ids: Array, why: str) -> None:
        """Let these, and all that are joined to them, stay."""
        for root in np.unique(self.roots(ids)).tolist():
            self.kept.setdefault(root, why)

    def varying(self, ids: Array) -> list[int]:
        """Axes along which there are numbers that may go while others stay."""
        live = self.roots(ids)
        live = np.where(np.isin(live, list(self.kept)), -1, live)
        return [axis for axis in range(ids.ndim) if ids.shape[axis] > 1 and not (live == live.take([0], axis)).all()]

    def _root(self, one: int) -> int:
        while self.parent[one] != one:
            self.parent[one] = self.parent[self.parent[one]]
            one = self.parent[one]
        return one
