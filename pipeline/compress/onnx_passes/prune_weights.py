"""Set weights of an ONNX network to zero, at once: it cannot be trained here, so nothing makes up for them.

The keys mean what they mean for Keras models (`pipeline.compress.keras_passes.prune_weights`), without those that train. Kernels of convolutions,
matrix products and recurrent nodes are pruned; depthwise kernels and the last kernel of the graph stay dense. Then mean and spread of
what every layer answers are set right (`statistics`), which scales the weights of whole channels: zeros stay zeros.
"""

import numpy as np

from pipeline.compress.base import Changed, Claims
from pipeline.compress.context import Context
from pipeline.compress.formats.base import weigh
from pipeline.compress.onnx_graph import statistics
from pipeline.compress.onnx_graph.graph import Graph, copy_of
from pipeline.compress.onnx_graph.kernels import Kernel, check_rest, kernels_of, names_of, new_values
from pipeline.compress.onnx_graph.runs import has_rows, rows_of
from pipeline.compress.settings import check_names
from pipeline.compress.sparsity.settings import (
    PruningSettings,
    check_amount,
    check_zero,
    claims_of,
    refuse_empty,
    what_to_expect,
)
from pipeline.errors import StageError
from pipeline.frameworks import Array, onnx_weights
from pipeline.frameworks.types import OnnxModel


class Settings(PruningSettings, frozen=True):
    """One of `sparsity`, `alpha` and `pattern` says which weights go."""

    recalibrate: bool = True  # set mean and spread of every layer right, where there are rows


def requires(model: OnnxModel, settings: Settings, context: Context) -> None:
    """Refuse settings that name no node or leave a kernel nothing, and graphs with nothing to prune."""
    graph = copy_of(model)
    check_names(settings.exclude, names_of(graph), "prune_weights.exclude", "node with a kernel")
    kernels = _prunable(graph, settings)
    if not kernels:
        raise StageError(
            "prune_weights finds nothing to prune in this graph",
            hint="It prunes floating point constants of convolutions, matrix products and recurrent nodes, but not depthwise ones, not "
            "the last one and not those in `exclude`. A file that is int8 already is not pruned.",
        )
    values = _values(graph, kernels)
    masks = settings.selection(context.seed).masks(values, [kernel.inputs for kernel in kernels])
    refuse_empty([kernel.layer for kernel in kernels], values, masks)


def apply(model: OnnxModel, settings: Settings, context: Context) -> Changed:
    """Prune all kernels."""
    before = weigh(onnx_weights(model))
    graph = Graph(model)
    kernels = _prunable(graph, settings)
    values = _values(graph, kernels)
    masks = settings.selection(context.seed).masks(values, [kernel.inputs for kernel in kernels])
    original = copy_of(model)
    for kernel, value, mask in zip(kernels, values, masks, strict=True):
        graph.replace(kernel.constant, np.where(mask, value, 0).astype(value.dtype))
    notes = [what_to_expect(before, weigh(onnx_weights(model)))]
    if settings.recalibrate and has_rows(context):
        statistics.restore(
            original, graph, rows_of(model, context, "prune_weights"), context.tell, exclude=settings.exclude
        )
        graph.tidy()
    elif settings.recalibrate:
        notes.append(statistics.NO_ROWS)
    return Changed(model, notes=tuple(notes))


def ensures(before: OnnxModel, after: OnnxModel, settings: Settings) -> Claims:
    """Check that what had to go is exactly zero; nothing has changed but layers whose statistics were set right."""
    old, new = copy_of(before), copy_of(after)
    kernels = _prunable(old, settings)
    selection = settings.selection(0)
    masks = selection.masks(_values(old, kernels), [kernel.inputs for kernel in kernels])
    found = [
        new_values(old, new, kernel.constant) for kernel in kernels
    ]  # recalibrated separately, a shared one becomes several
    for kernel, mask, values in zip(kernels, masks, found, strict=True):
        for value in values:
            if selection.method == "magnitude":
                check_zero(kernel.layer, value, mask)
            if selection.pattern is not None:
                check_amount(selection, [kernel.layer], [value], [kernel.inputs])
    if selection.method == "random":
        fewest = [min(values, key=lambda value: int(np.count_nonzero(value == 0))) for values in found]
        check_amount(selection, [kernel.layer for kernel in kernels], fewest, [kernel.inputs for kernel in kernels])
    check_rest(old, new, {kernel.constant for kernel in kernels}, settings.exclude, recalibrated=settings.recalibrate)
    return claims_of([value for values in found for value in values], len(kernels))


def _prunable(graph: Graph, settings: Settings) -> list[Kernel]:
    return [kernel for kernel in kernels_of(graph, settings.exclude, last=False) if kernel.kind == "dense"]


def _values(graph: Graph, kernels: list[Kernel]) -> list[Array]:
    return [values for kernel in kernels if (values := graph.value(kernel.constant)) is not None]
