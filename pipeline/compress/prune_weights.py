"""Set the smallest weights to zero, all at once, and keep them there while the others learn to make up for them.

The file gets smaller only where it is compressed (deflate) or stored sparse; it does not get faster on a CPU
(measured on Fashion-MNIST). Kernels of convolutions and dense layers are pruned. Depthwise kernels, biases,
normalisation and the last layer with weights stay dense: they are few and removing from them costs most.
"""

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from pipeline.compress import training as train
from pipeline.compress.base import Changed, Claims, Context
from pipeline.compress.formats import layers_of
from pipeline.compress.settings import PassSettings, Recover, check_names
from pipeline.errors import PromiseError, StageError
from pipeline.frameworks import Array


class Settings(PassSettings, frozen=True):
    sparsity: Annotated[float, Meta(ge=0, lt=1)]
    scope: Literal["layer", "global"] = "layer"  # layer: this share of every kernel; global: of all kernels together
    exclude: tuple[str, ...] = ()  # names of layers that stay dense
    recover: Recover | None = None


def requires(model: Any, settings: Settings, context: Context) -> None:
    """Refuse settings that name no layer, and models with nothing to prune."""
    del context
    check_names(settings.exclude, [layer.name for layer in layers_of(model)], "prune_weights.exclude")
    if not _kernels(model, settings):
        raise StageError(
            f"prune_weights finds nothing to prune in {model.name}",
            hint="It prunes kernels of convolutions and dense layers, but not the last layer and not those in `exclude`.",
        )


def apply(model: Any, settings: Settings, context: Context) -> Changed:
    """Prune, and train with the masks held."""
    pruned = list(zip(_kernels(model, settings), _masks(model, settings), strict=True))
    for (_, kernel), mask in pruned:
        kernel.assign(np.where(mask, np.asarray(kernel), 0))
    if settings.recover is None:
        return Changed(model)
    constraints = [kernel.constraint for (_, kernel), _ in pruned]
    for ((_, kernel), mask), also in zip(pruned, constraints, strict=True):
        kernel.constraint = _holding(
            mask, also
        )  # the optimizer applies it in each step, right after changing the weights
    try:
        train.recover(model, settings.recover, context)
    finally:
        for ((_, kernel), _), also in zip(pruned, constraints, strict=True):
            kernel.constraint = also
    return Changed(train.without_training_state(model))


def ensures(before: Any, after: Any, settings: Settings) -> Claims:
    """Every weight that had to go is exactly zero; without training, nothing else has changed."""
    now = [(name, np.asarray(kernel)) for name, kernel in _kernels(after, settings)]
    for (name, kernel), mask in zip(now, _masks(before, settings), strict=True):
        left = int(np.count_nonzero(kernel[~mask]))
        if left:
            raise PromiseError(
                f"{left:,} of {int((~mask).sum()):,} pruned weights of layer '{name}' are not zero",
                hint="This is a fault of the pass. Take it out of the plan and report it.",
            )
    if settings.recover is None:
        for old, new in zip(before.weights, after.weights, strict=True):
            kept, value = np.asarray(old), np.asarray(new)
            if not np.array_equal(value[value != 0], kept[value != 0]):
                raise PromiseError(
                    f"weights '{new.path}' that were to be kept have changed",
                    hint="This is a fault of the pass. Take it out of the plan and report it.",
                )
    shares = [float(np.mean(kernel == 0)) for _, kernel in now]
    sizes = [kernel.size for _, kernel in now]
    return {
        "sparsity": float(np.average(shares, weights=sizes)),
        "least_sparsity_of_a_layer": min(shares),
        "most_sparsity_of_a_layer": max(shares),
        "pruned_layers": float(len(now)),
    }


def _prunable(layer: Any) -> bool:
    from keras import layers

    kinds = (
        layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense,
        layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose,
    )  # fmt: skip
    return isinstance(layer, kinds) and np.issubdtype(np.asarray(layer.kernel).dtype, np.floating)


def _kernels(model: Any, settings: Settings) -> list[tuple[str, Any]]:
    """Name of layer and kernel, of the layers to prune. (Nested models may use a name twice.)"""
    weighted = [layer for layer in layers_of(model) if layer.weights]
    return [
        (layer.name, layer.kernel) for layer in weighted[:-1] if _prunable(layer) and layer.name not in settings.exclude
    ]


def _masks(model: Any, settings: Settings) -> list[Array]:
    """True: the weight stays. Made from the weights alone, so `ensures` can make them again."""
    sizes = [np.abs(np.asarray(kernel, np.float32)) for _, kernel in _kernels(model, settings)]
    if settings.scope == "layer":
        return [_largest(size.ravel(), settings.sparsity).reshape(size.shape) for size in sizes]
    kept = _largest(np.concatenate([size.ravel() for size in sizes]), settings.sparsity)
    ends = np.cumsum([size.size for size in sizes])[:-1]
    return [mask.reshape(size.shape) for size, mask in zip(sizes, np.split(kept, ends), strict=True)]


def _largest(sizes: Array, sparsity: float) -> Array:
    """Mask of all but the smallest `sparsity` of the values; of equal values the first go."""
    mask = np.ones(len(sizes), bool)
    mask[np.argsort(sizes, kind="stable")[: round(sparsity * len(sizes))]] = False
    return mask


def _holding(mask: Array, also: Any) -> Any:
    """A constraint that keeps pruned weights at zero, after the layer's own constraint if it has one."""
    from keras import ops

    stays = ops.convert_to_tensor(mask)

    def hold(kernel: Any) -> Any:
        return ops.where(stays, kernel if also is None else also(kernel), ops.zeros_like(kernel))

    return hold
