"""Set weights of an ONNX network to zero, at once: it can not be trained here, so nothing makes up for them.

The keys mean what they mean for Keras models (`pipeline.compress.prune_weights`), without those that train. Kernels of convolutions,
matrix products and recurrent nodes are pruned; depthwise kernels and the last kernel of the graph stay dense. Then mean and spread of
what every layer answers are set right (`statistics`), which scales the weights of whole channels: zeros stay zeros.
"""

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from pipeline.compress import prune_weights as of_keras
from pipeline.compress.base import Changed, Claims, Context
from pipeline.compress.formats import weigh
from pipeline.compress.onnx_passes import statistics
from pipeline.compress.onnx_passes.graph import Graph, copy_of
from pipeline.compress.onnx_passes.kernels import FAULT, Kernel, check_rest, kernels_of, names_of, new_values
from pipeline.compress.onnx_passes.runs import has_rows, rows_of
from pipeline.compress.settings import PassSettings, check_names
from pipeline.compress.sparsity.masks import Scope, Selection, keeps_pattern
from pipeline.errors import PromiseError, StageError
from pipeline.frameworks import Array, onnx_weights


class Settings(PassSettings, frozen=True):
    """One of `sparsity`, `alpha` and `pattern` says which weights go."""

    sparsity: Annotated[float, Meta(ge=0, lt=1)] | None = None
    alpha: Annotated[float, Meta(gt=0, le=1)] | None = None  # what is below alpha * max|w| goes
    pattern: Annotated[str, Meta(pattern=r"^[1-9][0-9]?:[1-9][0-9]?$")] | None = None  # "2:4": 2 of 4 inputs stay
    method: Literal["magnitude", "random"] = "magnitude"
    scope: Scope = "layer"  # layer: this share of every kernel; global: of all kernels together
    exclude: tuple[str, ...] = ()  # names of nodes that stay as they are
    recalibrate: bool = True  # set mean and spread of every layer right, where there are rows

    def __post_init__(self) -> None:
        self.selection(0)

    def selection(self, seed: int) -> Selection:
        """Which weights go; ValueError for keys that contradict each other, as for Keras models."""
        same = of_keras.Settings(
            sparsity=self.sparsity, alpha=self.alpha, pattern=self.pattern, method=self.method, scope=self.scope
        )
        return same.selection(seed)


def requires(model: Any, settings: Settings, context: Context) -> None:
    """Refuse settings that name no node, and graphs with nothing to prune."""
    del context
    graph = copy_of(model)
    check_names(settings.exclude, names_of(graph), "prune_weights.exclude", "node with a kernel")
    if not _prunable(graph, settings):
        raise StageError(
            "prune_weights finds nothing to prune in this graph",
            hint="It prunes floating point constants of convolutions, matrix products and recurrent nodes, but not depthwise ones, not "
            "the last one and not those in `exclude`. A file that is int8 already is not pruned.",
        )


def apply(model: Any, settings: Settings, context: Context) -> Changed:
    """Prune all kernels."""
    before = weigh(onnx_weights(model))
    graph = Graph(model)
    kernels = _prunable(graph, settings)
    values = _values(graph, kernels)
    masks = settings.selection(context.seed).masks(values, [kernel.inputs for kernel in kernels])
    original = copy_of(model)
    for kernel, value, mask in zip(kernels, values, masks, strict=True):
        graph.replace(kernel.constant, np.where(mask, value, 0).astype(value.dtype))
    notes = [of_keras.what_to_expect(before, weigh(onnx_weights(model)))]
    if settings.recalibrate and has_rows(context):
        statistics.restore(original, graph, rows_of(context, "prune_weights"), context.tell, exclude=settings.exclude)
        graph.tidy()
    elif settings.recalibrate:
        notes.append(statistics.NO_ROWS)
    return Changed(model, notes=tuple(notes))


def ensures(before: Any, after: Any, settings: Settings) -> Claims:
    """What had to go is exactly zero; nothing has changed but layers whose statistics were set right."""
    old, new = copy_of(before), copy_of(after)
    kernels = _prunable(old, settings)
    selection = settings.selection(0)
    masks = selection.masks(_values(old, kernels), [kernel.inputs for kernel in kernels])
    pruned: list[Array] = []
    for kernel, mask in zip(kernels, masks, strict=True):
        for value in new_values(old, new, kernel.constant):
            left = int(np.count_nonzero(value[~mask])) if selection.method == "magnitude" else 0
            if left:
                raise PromiseError(f"{left:,} pruned weights of '{kernel.layer}' are not zero", hint=FAULT)
            if selection.pattern is not None and not keeps_pattern(value, selection.pattern, kernel.inputs):
                raise PromiseError(f"'{kernel.layer}' does not have the pattern {settings.pattern}", hint=FAULT)
            pruned.append(value)
    check_rest(old, new, {kernel.constant for kernel in kernels}, settings.exclude, recalibrated=settings.recalibrate)
    shares = [float(np.mean(value == 0)) for value in pruned]
    return {
        "sparsity": float(np.average(shares, weights=[value.size for value in pruned])),
        "least_sparsity_of_a_layer": min(shares),
        "most_sparsity_of_a_layer": max(shares),
        "pruned_kernels": float(len(kernels)),
    }


def _prunable(graph: Graph, settings: Settings) -> list[Kernel]:
    return [kernel for kernel in kernels_of(graph, settings.exclude, last=False) if kernel.kind == "dense"]


def _values(graph: Graph, kernels: list[Kernel]) -> list[Array]:
    return [values for kernel in kernels if (values := graph.value(kernel.constant)) is not None]
