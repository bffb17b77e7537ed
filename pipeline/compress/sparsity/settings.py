"""What `prune_weights` has in common for Keras models and ONNX graphs: keys of the plan, and how its promise is checked."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from pipeline import units
from pipeline.compress.formats.base import Weighed
from pipeline.compress.settings import FAULT, PassSettings
from pipeline.compress.sparsity.masks import Pattern, Scope, Selection, keeps_pattern
from pipeline.errors import PromiseError, StageError
from pipeline.frameworks import Array


class PruningSettings(PassSettings, frozen=True):
    """One of `sparsity`, `alpha` and `pattern` says which weights go."""

    sparsity: Annotated[float, Meta(ge=0, lt=1)] | None = None
    alpha: Annotated[float, Meta(gt=0, le=1)] | None = None  # what is below alpha * max|w| goes
    pattern: Annotated[str, Meta(pattern=r"^[1-9][0-9]?:[1-9][0-9]?$")] | None = None  # "2:4": 2 of 4 inputs stay
    method: Literal["magnitude", "random"] = "magnitude"
    scope: Scope = "layer"  # layer: this share of every kernel; global: of all kernels together
    exclude: tuple[str, ...] = ()  # names of layers, or nodes, that stay dense

    def __post_init__(self) -> None:
        given = [key for key in ("sparsity", "alpha", "pattern") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"one of sparsity, alpha and pattern must be given, not {' and '.join(given) or 'none'}")
        if self.pattern is not None and self._pattern.keep >= self._pattern.of:
            raise ValueError(
                f"pattern '{self.pattern}' prunes nothing: N:M keeps N of every M weights, so N is below M"
            )
        if self.pattern is not None and self.scope == "global":
            raise ValueError("a pattern is the same in every layer: take scope out")
        if self.alpha is not None and self.method == "random":
            raise ValueError("alpha is a threshold of magnitudes: take method out, or give sparsity")

    @property
    def _pattern(self) -> Pattern:
        keep, of = (self.pattern or "1:1").split(":")
        return Pattern(int(keep), int(of))

    def selection(self, seed: int) -> Selection:
        pattern = None if self.pattern is None else self._pattern
        return Selection(self.sparsity, self.alpha, pattern, self.method, self.scope, seed)


def refuse_empty(layers: Sequence[str], kernels: Sequence[Array], masks: Sequence[Array]) -> None:
    """Raise StageError if a mask takes the last weights of a kernel: nothing would get through its layer any more."""
    for layer, kernel, mask in zip(layers, kernels, masks, strict=True):
        if kernel.any() and not kernel[mask].any():
            raise StageError(
                f"prune_weights would set all {kernel.size:,} weights of a kernel of '{layer}' to zero: nothing gets through it then",
                hint=f"Exclude it, exclude = ['{layer}'], or lower sparsity (or alpha).",
            )


def check_zero(layer: str, value: Array, mask: Array) -> None:
    """One cut by magnitude, of which the mask is known: PromiseError if a weight is left that had to go."""
    left = int(np.count_nonzero(value[~mask]))
    if left:
        raise PromiseError(
            f"{left:,} of {int((~mask).sum()):,} pruned weights of layer '{layer}' are not zero", hint=FAULT
        )


def check_amount(
    selection: Selection, layers: Sequence[str], values: Sequence[Array], inputs: Sequence[tuple[int, ...]]
) -> None:
    """Masks that were drawn, or that a training decided: PromiseError if fewer are zero, or the pattern is not there."""
    if selection.pattern is not None:
        for layer, value, axes in zip(layers, values, inputs, strict=True):
            if not keeps_pattern(value, selection.pattern, axes):
                keep, of = selection.pattern
                raise PromiseError(f"layer '{layer}' does not have the pattern {keep}:{of}", hint=FAULT)
        return
    alone = selection.scope == "layer"
    parts = [[value] for value in values] if alone else [values]
    for name, part in zip(layers if alone else ["all layers together"], parts, strict=True):
        zeros = sum(int(np.count_nonzero(value == 0)) for value in part)
        wanted = round(selection.final_sparsity * sum(value.size for value in part))
        if zeros < wanted:
            raise PromiseError(
                f"{zeros:,} weights of '{name}' are zero, and {wanted:,} had to be",
                hint="If the training was stopped before the schedule's end_step, let it run on, or give an earlier end_step.",
            )


def claims_of(values: Sequence[Array], kernels: int) -> dict[str, float]:
    """Return how sparse the kernels are that were saved."""
    shares = [float(np.mean(value == 0)) for value in values]
    return {
        "sparsity": float(np.average(shares, weights=[value.size for value in values])),
        "least_sparsity_of_a_layer": min(shares),
        "most_sparsity_of_a_layer": max(shares),
        "pruned_kernels": float(kernels),
    }


def what_to_expect(before: Weighed, after: Weighed) -> str:
    """Return what zeros do for size and speed, with this model's figures.

    Measured in LiteRT with XNNPACK on one x86 thread: a network of 1x1 convolutions took 796 us dense, and 776 to 795 us with 70 to 90 %
    zeros, in TFLite's sparse encoding or without it.
    """
    return (
        f"zeros do not make the file smaller by themselves: {units.size(after.raw_bytes)} of weights stay that, and in a compressed "
        f"download {units.size(before.deflated_bytes)} become {units.size(after.deflated_bytes)}; and they do not make it faster on "
        "a CPU (prune_channels does, by making the kernels smaller)"
    )
