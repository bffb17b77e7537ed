"""Channel ids: every channel of every tensor has one, and channels that can only go together are tied.

The idea of dependency groups (Fang et al., DepGraph: arXiv 2301.12900), here for each single channel, so that concatenated and
flattened tensors need no case of their own.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.intp]
Axes = tuple[Ids | None, ...]
"""Of a tensor or a weight: for each axis the ids along it, or None where nothing can be removed."""


class Components(NamedTuple):
    """Sets of channels that stay or go as one."""

    of: Ids  # (channels,): the component of each channel
    kept: dict[int, str]  # component -> why it has to stay


class Channels:
    """Hands out ids, and remembers which of them are tied and which have to stay."""

    def __init__(self) -> None:
        self.count = 0
        self._tied: list[tuple[Ids, Ids]] = []
        self._kept: list[tuple[Ids, str]] = []

    def new(self, count: int) -> Ids:
        first, self.count = self.count, self.count + count
        return np.arange(first, self.count)

    def tie(self, one: Ids, other: Ids) -> None:
        """Channel i of `one` and channel i of `other` go together."""
        if len(one) != len(other):
            raise ValueError(f"{len(one)} channels cannot be tied to {len(other)}")
        if one is not other:
            self._tied.append((one, other))

    def keep(self, ids: Ids | None, why: str, *, first: bool = False) -> None:
        """Keep all of these, because of `why`. Of several reasons the first is reported."""
        if ids is not None:
            self._kept.insert(0 if first else len(self._kept), (ids, why))

    def components(self) -> Components:
        """Resolve the ties: labels fall to the lowest that is tied to them until nothing changes."""
        label = np.arange(self.count)
        one, other = (_joined([pair[i] for pair in self._tied]) for i in (0, 1))
        while True:
            lowest = np.minimum(label[one], label[other])
            lower = label.copy()
            np.minimum.at(lower, label[one], lowest)
            np.minimum.at(lower, label[other], lowest)
            lower = lower[lower]
            if np.array_equal(lower, label):
                break
            label = lower
        kept: dict[int, str] = {}
        for ids, why in self._kept:
            for component in np.unique(label[ids]):
                kept.setdefault(int(component), why)
        return Components(label, kept)


def _joined(parts: Sequence[Any]) -> Ids:
    return np.concatenate(parts) if parts else np.empty(0, np.intp)
