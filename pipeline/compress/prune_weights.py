"""Set weights to zero, at once or little by little, and keep them there while the others learn to make up for them.

The file gets smaller only where it is compressed (deflate) or packed (the pass `codebook`), and it does not get faster: see
`what_to_expect`. Kernels of convolutions, dense and recurrent layers, separable ones (their pointwise part) and attention are pruned.
Depthwise kernels, embeddings, biases, normalisation and the last layer with weights stay dense.
"""

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from pipeline import units
from pipeline.compress import training as train
from pipeline.compress.base import Changed, Claims, Context
from pipeline.compress.formats import FORMATS, Weighed, layers_of, weigh
from pipeline.compress.settings import PassSettings, Recover, check_names
from pipeline.compress.sparsity.kernels import Kernel, prunable_kernels
from pipeline.compress.sparsity.masks import Pattern, Scope, Selection, keeps_pattern
from pipeline.compress.sparsity.schedules import Schedule
from pipeline.errors import PromiseError, StageError
from pipeline.frameworks import Array

FAULT = "This is a fault of the pass. Take it out of the plan and report it."


class Settings(PassSettings, frozen=True):
    """One of `sparsity`, `alpha` and `pattern` says which weights go."""

    sparsity: Annotated[float, Meta(ge=0, lt=1)] | None = None
    alpha: Annotated[float, Meta(gt=0, le=1)] | None = None  # what is below alpha * max|w| goes
    pattern: Annotated[str, Meta(pattern=r"^[1-9][0-9]?:[1-9][0-9]?$")] | None = None  # "2:4": 2 of 4 inputs stay
    method: Literal["magnitude", "random"] = "magnitude"
    scope: Scope = "layer"  # layer: this share of every kernel; global: of all kernels together
    exclude: tuple[str, ...] = ()  # names of layers that stay dense
    schedule: Schedule | None = None  # prune little by little during `recover`
    recover: Recover | None = None

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
        if self.schedule is not None and self.alpha is not None:
            raise ValueError("schedule needs a final sparsity, and alpha has none: give sparsity or pattern")
        if self.schedule is not None and self.recover is None:
            raise ValueError("schedule prunes during training: give recover too")

    @property
    def _pattern(self) -> Pattern:
        keep, of = (self.pattern or "1:1").split(":")
        return Pattern(int(keep), int(of))

    def selection(self, seed: int) -> Selection:
        pattern = None if self.pattern is None else self._pattern
        return Selection(self.sparsity, self.alpha, pattern, self.method, self.scope, seed)


def requires(model: Any, settings: Settings, context: Context) -> None:
    """Refuse settings that name no layer, models with nothing to prune, and a schedule that the training is too short for."""
    check_names(settings.exclude, [layer.name for layer in layers_of(model)], "prune_weights.exclude")
    if not prunable_kernels(model, settings.exclude):
        raise StageError(
            f"prune_weights finds nothing to prune in {model.name}",
            hint="It prunes kernels of convolutions, dense and recurrent layers and attention, but not the last layer and not "
            "those in `exclude`.",
        )
    if settings.schedule is not None and settings.recover is not None and context.training is not None:
        settings.schedule.over(_steps(settings.recover, context), settings.selection(0).final_sparsity)


def apply(model: Any, settings: Settings, context: Context) -> Changed:
    """Prune, and train with the masks held."""
    before = weigh(FORMATS["keras"].weights(model))
    selection = settings.selection(context.seed)
    kernels = prunable_kernels(model, settings.exclude)
    if settings.schedule is None:
        for kernel, mask in zip(kernels, _masks(kernels, selection), strict=True):
            kernel.variable.assign(np.where(mask, np.asarray(kernel.variable), 0))
        context.tell(0, 0, what_to_expect(before, weigh(FORMATS["keras"].weights(model))))
    notes: tuple[str, ...] = ()
    if settings.recover is not None:
        notes = _recover(model, settings, settings.recover, context)
    return Changed(model, notes=(*notes, what_to_expect(before, weigh(FORMATS["keras"].weights(model)))))


def _recover(model: Any, settings: Settings, how: Recover, context: Context) -> tuple[str, ...]:
    """Train. Zeros of before stay zero in every training; a schedule makes more of them."""
    from pipeline.compress.callbacks.pruning import pruning

    if settings.schedule is None:
        notes = train.recover(model, how, context)
    else:
        rising = pruning(settings.selection(context.seed), settings.exclude, settings.schedule)
        rising.set_params({"epochs": how.epochs, "steps": _steps(how, context) // how.epochs})
        try:
            notes = train.recover(model, how, context, callbacks=[rising])
        finally:
            rising.release()
    train.without_training_state(model)
    return notes


def _steps(how: Recover, context: Context) -> int:
    """Of the whole training; 0 without rows."""
    rows = 0 if context.training is None else len(context.training.x)
    return how.epochs * -(-min(rows, how.rows or rows) // how.batch_size)


def what_to_expect(before: Weighed, after: Weighed) -> str:
    """What zeros do for size and speed, with this model's figures.

    Measured in LiteRT with XNNPACK on one x86 thread: a network of 1x1 convolutions took 796 us dense, and 776 to 795 us with 70 to 90 %
    zeros, in TFLite's sparse encoding or without it.
    """
    return (
        f"zeros do not make the file smaller by themselves: {units.size(after.raw_bytes)} of weights stay that, and in a compressed "
        f"download {units.size(before.deflated_bytes)} become {units.size(after.deflated_bytes)}; and they do not make it faster on "
        "a CPU (prune_channels does, by making the kernels smaller)"
    )


def ensures(before: Any, after: Any, settings: Settings) -> Claims:
    """Every weight that had to go is exactly zero; without training, nothing else has changed."""
    kernels = prunable_kernels(after, settings.exclude)
    values = [np.asarray(kernel.variable) for kernel in kernels]
    if settings.schedule is not None or settings.method == "random":
        _check_amount(kernels, values, settings)
    else:
        _check_masks(before, kernels, values, settings)
    if settings.recover is None:
        _check_rest(before, after)
    shares = [float(np.mean(value == 0)) for value in values]
    return {
        "sparsity": float(np.average(shares, weights=[value.size for value in values])),
        "least_sparsity_of_a_layer": min(shares),
        "most_sparsity_of_a_layer": max(shares),
        "pruned_kernels": float(len(values)),
    }


def _masks(kernels: list[Kernel], selection: Selection) -> list[Array]:
    return selection.masks([np.asarray(each.variable) for each in kernels], [each.inputs for each in kernels])


def _check_masks(before: Any, kernels: list[Kernel], values: list[Array], settings: Settings) -> None:
    """One cut by magnitude: the masks follow from the weights of before."""
    masks = _masks(prunable_kernels(before, settings.exclude), settings.selection(0))
    for kernel, value, mask in zip(kernels, values, masks, strict=True):
        left = int(np.count_nonzero(value[~mask]))
        if left:
            raise PromiseError(
                f"{left:,} of {int((~mask).sum()):,} pruned weights of layer '{kernel.layer}' are not zero", hint=FAULT
            )


def _check_amount(kernels: list[Kernel], values: list[Array], settings: Settings) -> None:
    """Masks that were drawn, or that the training decided: so many are zero, or the pattern is there."""
    selection = settings.selection(0)
    for kernel, value in zip(kernels, values, strict=True):
        if selection.pattern is not None and not keeps_pattern(value, selection.pattern, kernel.inputs):
            raise PromiseError(f"layer '{kernel.layer}' does not have the pattern {settings.pattern}", hint=FAULT)
    if selection.pattern is not None:
        return
    names = [kernel.layer for kernel in kernels] if settings.scope == "layer" else ["all layers together"]
    parts = [[value] for value in values] if settings.scope == "layer" else [values]
    for name, part in zip(names, parts, strict=True):
        zeros = sum(int(np.count_nonzero(value == 0)) for value in part)
        wanted = round(selection.final_sparsity * sum(value.size for value in part))
        if zeros < wanted:
            raise PromiseError(
                f"{zeros:,} weights of '{name}' are zero, and {wanted:,} had to be",
                hint="If the training was stopped before the schedule's end_step, let it run on, or give an earlier end_step.",
            )


def _check_rest(before: Any, after: Any) -> None:
    kernels = {id(kernel.variable) for kernel in prunable_kernels(after)}
    for old, new in zip(before.weights, after.weights, strict=True):
        kept, value = np.asarray(old), np.asarray(new)
        same = (value == kept) | (value == 0) if id(new) in kernels else value == kept
        if not same.all():
            raise PromiseError(f"weights '{new.path}' that were to be kept have changed", hint=FAULT)
