"""Which weights stay when a kernel is pruned, and what keeps the others at zero while it trains.

A mask is a boolean array of the kernel's shape; True: the weight stays. Masks are made from scores, one for each weight, of which the
smallest go: `magnitudes` or, as the control of every pruning paper, `random_scores`. Only `holding` needs a framework.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from pipeline.frameworks import Array
from pipeline.frameworks.types import Constraint, KerasVariable, TfTensor

Scope = Literal["layer", "global"]


class Pattern(NamedTuple):
    """N:M sparsity: of `of` consecutive weights along the input axis at most `keep` are not zero."""

    keep: int
    of: int

    @property
    def sparsity(self) -> float:
        """Share that goes where the input axis is a multiple of `of`."""
        return 1 - self.keep / self.of


class Selection(NamedTuple):
    """Which weights go. Exactly one of `sparsity`, `alpha` and `pattern` is given."""

    sparsity: float | None = None
    alpha: float | None = None
    pattern: Pattern | None = None
    method: Literal["magnitude", "random"] = "magnitude"
    scope: Scope = "layer"
    seed: int = 0  # of the random scores

    @property
    def final_sparsity(self) -> float:
        """Return what a schedule rises to. (A threshold has no such number.)"""
        return self.pattern.sparsity if self.pattern else self.sparsity or 0.0

    def masks(
        self, kernels: Sequence[Array], inputs: Sequence[tuple[int, ...]], sparsity: float | None = None
    ) -> list[Array]:
        """Return a mask for each kernel; `inputs` are their input axes. `sparsity`: only this share of it, on the way to all of it.

        A smaller sparsity of the same kernels takes away a part of what a larger one does, and zeros of before go first.
        """
        scores = magnitudes(kernels) if self.method == "magnitude" else random_scores(kernels, self.seed)
        if self.alpha is not None:
            return keep_above(scores, self.alpha, self.scope)
        if self.pattern is None:
            return keep_largest(scores, self.final_sparsity if sparsity is None else sparsity, self.scope)
        whole = [keep_pattern(each, self.pattern, axes) for each, axes in zip(scores, inputs, strict=True)]
        if sparsity is None or sparsity >= self.final_sparsity:
            return whole
        leaving = [np.where(mask, np.inf, each) for mask, each in zip(whole, scores, strict=True)]
        partly = keep_largest(leaving, sparsity, self.scope)
        return [mask | stays for mask, stays in zip(partly, whole, strict=True)]


def magnitudes(kernels: Sequence[Array]) -> list[Array]:
    return [np.abs(kernel.astype(np.float32, copy=False)) for kernel in kernels]


def random_scores(kernels: Sequence[Array], seed: int) -> list[Array]:
    """The same scores for the same shapes and seed."""
    generator = np.random.default_rng(seed)
    return [generator.random(kernel.shape, np.float32) for kernel in kernels]


def keep_largest(scores: Sequence[Array], sparsity: float, scope: Scope) -> list[Array]:
    """Return all but the smallest share `sparsity` of each kernel, or of all kernels together; of equal scores the first go."""
    if scope == "layer":
        return [_largest(each.ravel(), sparsity).reshape(each.shape) for each in scores]
    stay = _largest(np.concatenate([each.ravel() for each in scores]), sparsity)
    ends = np.cumsum([each.size for each in scores])[:-1]
    return [part.reshape(each.shape) for part, each in zip(np.split(stay, ends), scores, strict=True)]


def _largest(scores: Array, sparsity: float) -> Array:
    """Return what a stable sort would leave, in linear time."""
    leaving = round(sparsity * len(scores))
    if leaving == 0:
        return np.ones(len(scores), bool)
    limit = np.partition(scores, leaving - 1)[leaving - 1]
    mask: Array = scores >= limit
    equal = np.flatnonzero(scores == limit)
    mask[equal[: leaving - int(np.count_nonzero(~mask))]] = False
    return mask


def keep_above(scores: Sequence[Array], alpha: float, scope: Scope) -> list[Array]:
    """Threshold pruning: what is strictly below `alpha` times the largest score, of the kernel or of all kernels, goes."""
    largest = [float(each.max(initial=0)) for each in scores]
    limits = largest if scope == "layer" else [max(largest)] * len(scores)
    return [each >= alpha * limit for each, limit in zip(scores, limits, strict=True)]


def keep_pattern(scores: Array, pattern: Pattern, axes: tuple[int, ...]) -> Array:
    """Keep, of every `pattern.of` consecutive scores along the kernel's input axes, the `pattern.keep` largest; of equal ones the last.

    The input axes are those that a matrix product sums over: there NVIDIA's sparse tensor cores look for 2:4 (arXiv 2104.08378), and a
    kernel loads its `of` inputs together. `axes` with more than one axis count as one, in the order given. A last group of fewer than
    `of` is treated as if zeros filled it up, so a kernel with `keep` inputs or fewer stays whole.
    """
    order = (*(axis for axis in range(scores.ndim) if axis not in axes), *axes)
    moved = scores.transpose(order)
    rows = moved.reshape(-1, int(np.prod([scores.shape[axis] for axis in axes])))
    length = rows.shape[1]
    groups = np.pad(rows, ((0, 0), (0, -length % pattern.of)), constant_values=-1).reshape(-1, pattern.of)
    mask = np.ones(groups.shape, bool)
    np.put_along_axis(
        mask, np.argsort(groups, axis=1, kind="stable")[:, : pattern.of - pattern.keep], values=False, axis=1
    )
    stay = mask.reshape(len(rows), -1)[:, :length].reshape(moved.shape)
    return stay.transpose(np.argsort(order))


def keeps_pattern(kernel: Array, pattern: Pattern, axes: tuple[int, ...]) -> bool:
    """Return whether the kernel has the pattern already."""
    return bool((kernel[~keep_pattern(np.abs(kernel), pattern, axes)] == 0).all())


def holding(mask: Array | KerasVariable, also: Constraint | None = None) -> Constraint:
    """A Keras constraint that puts what the mask takes away back to zero, after the constraint `also`.

    The optimizer applies it in the graph, in each step right after it has changed the kernel. `mask` is a boolean array, or a boolean
    Variable: what a schedule assigns to it counts from the next step on, without a new trace.
    """
    import keras
    from keras import ops

    stays = mask if isinstance(mask, keras.Variable) else mask_variable(mask)

    def hold(kernel: TfTensor) -> TfTensor:
        return ops.where(stays, kernel if also is None else also(kernel), ops.zeros_like(kernel))

    return hold


def mask_variable(mask: Array) -> KerasVariable:
    """Return a mask as a Variable, so that it is not a constant of the graph."""
    import keras

    return keras.Variable(mask, trainable=False, dtype="bool", name="mask")
