"""Set weights to zero, at once or little by little, and keep them there while the others learn to make up for them.

The file gets smaller only where it is compressed (deflate) or packed (the pass `codebook`), and it does not get faster: see
`what_to_expect`. Kernels of convolutions, dense and recurrent layers, separable ones (their pointwise part) and attention are pruned.
Depthwise kernels, embeddings, biases, normalisation and the last layer with weights stay dense.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from pipeline.compress import training as train
from pipeline.compress.base import Changed, Claims
from pipeline.compress.context import Context
from pipeline.compress.formats import FORMATS
from pipeline.compress.formats.base import weigh
from pipeline.compress.formats.keras_model import layers_of
from pipeline.compress.settings import FAULT, Recover, check_names
from pipeline.compress.sparsity.callback import pruning
from pipeline.compress.sparsity.kernels import Kernel, prunable_kernels
from pipeline.compress.sparsity.masks import Selection, holding
from pipeline.compress.sparsity.schedules import Schedule
from pipeline.compress.sparsity.settings import (
    PruningSettings,
    check_amount,
    check_zero,
    claims_of,
    refuse_empty,
    what_to_expect,
)
from pipeline.compress.training import batch_norm
from pipeline.errors import PromiseError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasModel


class Settings(PruningSettings, frozen=True):
    """One of `sparsity`, `alpha` and `pattern` says which weights go."""

    recalibrate: bool = False  # batch normalisation, where there is no recover (which has its own)
    schedule: Schedule | None = None  # prune little by little during `recover`
    recover: Recover | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule is not None and self.alpha is not None:
            raise ValueError("schedule needs a final sparsity, and alpha has none: give sparsity or pattern")
        if self.schedule is not None and self.recover is None:
            raise ValueError("schedule prunes during training: give recover too")


def requires(model: KerasModel, settings: Settings, context: Context) -> None:
    """Refuse settings that name no layer or leave a kernel nothing, models with nothing to prune, and a schedule that does not fit."""
    check_names(settings.exclude, [layer.name for layer in layers_of(model)], "prune_weights.exclude")
    kernels = prunable_kernels(model, settings.exclude)
    if not kernels:
        raise StageError(
            f"prune_weights finds nothing to prune in {model.name}",
            hint="It prunes kernels of convolutions, dense and recurrent layers and attention, but not the last layer and not "
            "those in `exclude`.",
        )
    values = [np.asarray(kernel.variable) for kernel in kernels]
    refuse_empty([kernel.layer for kernel in kernels], values, _masks(kernels, settings.selection(context.seed)))
    train.check(model, settings.recover, context)
    if settings.recover is None and settings.recalibrate:
        batch_norm.check(model, context)
    if settings.schedule is not None and settings.recover is not None and context.training is not None:
        settings.schedule.over(train.steps_of(settings.recover, context), settings.selection(0).final_sparsity)


def apply(model: KerasModel, settings: Settings, context: Context) -> Changed:
    """Prune, and train with the masks held."""
    before = weigh(FORMATS["keras"].weights(model))
    selection = settings.selection(context.seed)
    kernels = prunable_kernels(model, settings.exclude)
    masks = _masks(kernels, selection)
    if settings.schedule is None:
        _prune(kernels, masks)
        context.tell(0, 0, what_to_expect(before, weigh(FORMATS["keras"].weights(model))))
    notes: tuple[str, ...] = ()
    if settings.recover is not None:
        with _empty_held(kernels, masks):
            notes = _recover(model, settings, settings.recover, context, lambda: _prune(kernels, masks))
    elif settings.recalibrate:
        notes = batch_norm.recalibrate_or_say(model, context)
    return Changed(model, notes=(*notes, what_to_expect(before, weigh(FORMATS["keras"].weights(model)))))


def _prune(kernels: list[Kernel], masks: list[Array]) -> None:
    for kernel, mask in zip(kernels, masks, strict=True):
        kernel.variable.assign(np.where(mask, np.asarray(kernel.variable), 0))


@contextlib.contextmanager
def _empty_held(kernels: list[Kernel], masks: list[Array]) -> Iterator[None]:
    """Let kernels that are all zero learn only where their masks allow it, inside the context: a training takes them for not pruned."""
    empty = [
        (each.variable, mask) for each, mask in zip(kernels, masks, strict=True) if not np.asarray(each.variable).any()
    ]
    before = [variable.constraint for variable, _ in empty]
    for variable, mask in empty:
        variable.constraint = holding(mask, variable.constraint)
    try:
        yield
    finally:
        for (variable, _), constraint in zip(empty, before, strict=True):
            variable.constraint = constraint


def _recover(
    model: KerasModel, settings: Settings, how: Recover, context: Context, at_once: Callable[[], None]
) -> tuple[str, ...]:
    """Train. Zeros of before stay zero in every training; a schedule makes more of them."""
    if settings.schedule is None:
        notes = train.recover(model, how, context)
    else:
        rising = pruning(settings.selection(context.seed), settings.exclude, settings.schedule)
        rising.set_params({"epochs": how.epochs, "steps": train.steps_of(how, context) // how.epochs})
        try:
            notes = train.recover(model, how, context, callbacks=[rising], untrained=train.Untrained(at_once))
        finally:
            rising.release()
    train.without_training_state(model)
    return notes


def ensures(before: KerasModel, after: KerasModel, settings: Settings) -> Claims:
    """Every weight that had to go is exactly zero; without training, nothing else has changed but what was recalibrated."""
    kernels = prunable_kernels(after, settings.exclude)
    values = [np.asarray(kernel.variable) for kernel in kernels]
    layers, selection = [kernel.layer for kernel in kernels], settings.selection(0)
    if settings.schedule is not None or settings.method == "random":
        check_amount(selection, layers, values, [kernel.inputs for kernel in kernels])
    else:  # the masks follow from the weights of before
        masks = _masks(prunable_kernels(before, settings.exclude), selection)
        for layer, value, mask in zip(layers, values, masks, strict=True):
            check_zero(layer, value, mask)
    if settings.recover is None:
        _check_rest(before, after, recalibrated=settings.recalibrate)
    return claims_of(values, len(kernels))


def _masks(kernels: list[Kernel], selection: Selection) -> list[Array]:
    return selection.masks([np.asarray(each.variable) for each in kernels], [each.inputs for each in kernels])


def _check_rest(before: KerasModel, after: KerasModel, *, recalibrated: bool) -> None:
    kernels = {id(kernel.variable) for kernel in prunable_kernels(after)}
    moving = batch_norm.statistics_of(after) if recalibrated else set()
    for old, new in zip(before.weights, after.weights, strict=True):
        kept, value = np.asarray(old), np.asarray(new)
        same = (value == kept) | (value == 0) if id(new) in kernels else value == kept
        if not same.all() and id(new) not in moving:
            raise PromiseError(f"weights '{new.path}' that were to be kept have changed", hint=FAULT)
