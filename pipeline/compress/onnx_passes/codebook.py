"""Give every kernel of an ONNX network a codebook: at most 2^bits values, which all its weights share.

The keys mean what they mean for Keras models; centroids cannot be trained here. The .onnx file holds the values in floating point, so
it is as large and as fast as before; a separate container holds them packed (docs/codebook.md), and a compressed download is smaller.

Mean and spread of what every layer answers are set right afterwards (`statistics`) where batch normalisation follows the layer, or each
output channel has a table of its own, whose levels are then scaled alike. One table for a whole kernel would not stay one.
"""

import numpy as np

from pipeline import units
from pipeline.compress.base import Changed, Claims
from pipeline.compress.codebooks import container_file
from pipeline.compress.codebooks.levels import quantized
from pipeline.compress.codebooks.settings import CodebookSettings
from pipeline.compress.codebooks.tables import from_rows
from pipeline.compress.codebooks.tables import rows_of as rows_of_tables
from pipeline.compress.context import Context
from pipeline.compress.formats.base import weigh
from pipeline.compress.onnx_graph import statistics
from pipeline.compress.onnx_graph.graph import Graph, copy_of
from pipeline.compress.onnx_graph.kernels import Kernel, check_rest, kernels_of, names_of, new_values
from pipeline.compress.onnx_graph.runs import has_rows, rows_of
from pipeline.compress.settings import FAULT, check_names
from pipeline.errors import ModelError, PromiseError, StageError
from pipeline.frameworks import onnx_weights
from pipeline.frameworks.types import OnnxModel


class Settings(CodebookSettings, frozen=True):
    recalibrate: bool = True  # set mean and spread of the layers right, where there are rows


def requires(model: OnnxModel, settings: Settings, context: Context) -> None:
    """Refuse settings that name no node, and graphs without kernels."""
    del context
    graph = copy_of(model)
    check_names(settings.exclude, names_of(graph), "codebook.exclude", "node with a kernel")
    kernels = kernels_of(graph, settings.exclude)
    check_names(settings.bits_of, list(dict.fromkeys(kernel.layer for kernel in kernels)), "codebook.bits_of", "node")
    if not kernels:
        raise StageError(
            "codebook finds no kernel in this graph",
            hint="It takes floating point constants of convolutions, matrix products and recurrent nodes that are not in `exclude`.",
        )


def apply(model: OnnxModel, settings: Settings, context: Context) -> Changed:
    """Find the levels of every table and put the nearest in the place of each weight."""
    graph, original = Graph(model), copy_of(model)
    kernels = kernels_of(graph, settings.exclude)
    for i, kernel in enumerate(kernels):
        context.tell(i, len(kernels), f"codebook of {kernel.layer}")
        _on_levels(graph, kernel, settings)
    notes = []
    if settings.recalibrate and has_rows(context):
        rows, own_tables = rows_of(model, context, "codebook"), settings.granularity == "channel"
        statistics.restore(original, graph, rows, context.tell, exclude=settings.exclude, scale_weights=own_tables)
        graph.tidy()
        kernels = kernels_of(graph, settings.exclude)
        for kernel in kernels if own_tables and settings.method == "uniform" else ():
            _on_levels(
                graph, kernel, settings
            )  # the same indices, with a scale that a container can hold as one number
    elif settings.recalibrate:
        notes.append(statistics.NO_ROWS)
    tables = {kernel.constant: settings.axes(kernel.outputs) for kernel in kernels}
    container = container_file.write(
        [
            container_file.Weights(name, values, tables.get(name))
            for name, values in onnx_weights(graph.model)
            if values.size
        ]
    )
    weighed = weigh(onnx_weights(model))
    note = (
        f"the .onnx file stays as large as it was ({units.size(weighed.raw_bytes)} of weights): it holds the shared values in floating "
        f"point. The container has {units.size(len(container))}, a compressed download {units.size(weighed.deflated_bytes)}"
    )
    return Changed(model, notes=(note, *notes), container=container)


def _on_levels(graph: Graph, kernel: Kernel, settings: Settings) -> None:
    values = graph.value(kernel.constant)
    assert values is not None  # kernels_of looked
    rows = rows_of_tables(values.astype(np.float32), settings.axes(kernel.outputs))
    coded = [quantized(row, settings.method, settings.bits_for(kernel.layer)) for row in rows]
    found = np.stack([levels.levels[levels.indices] for levels in coded])
    graph.replace(kernel.constant, from_rows(found, values.shape, settings.axes(kernel.outputs)).astype(values.dtype))


def ensures(before: OnnxModel, after: OnnxModel, settings: Settings) -> Claims:
    """No table has more than 2^bits values, zeros are still zeros, and nothing else has changed but what was recalibrated."""
    old, new = copy_of(before), copy_of(after)
    kernels = kernels_of(old, settings.exclude)
    most, lost, total = 0, 0.0, 0.0
    for kernel in kernels:
        was = old.value(kernel.constant)
        assert was is not None  # kernels_of looked
        for now in new_values(old, new, kernel.constant):
            values = max(len(np.unique(row)) for row in rows_of_tables(now, settings.axes(kernel.outputs)))
            if values > 2 ** settings.bits_for(kernel.layer):
                raise PromiseError(
                    f"a table of '{kernel.layer}' has {values} values, and {settings.bits_for(kernel.layer)} bits allow fewer",
                    hint=FAULT,
                )
            if np.any(now[was == 0]):
                raise PromiseError(f"zeros of '{kernel.layer}' are no longer zero", hint=FAULT)
            most = max(most, values)
            lost += float(np.square(was.astype(np.float64) - now).sum())
            total += float(np.square(was, dtype=np.float64).sum())
    check_rest(old, new, {kernel.constant for kernel in kernels}, settings.exclude, recalibrated=settings.recalibrate)
    return {
        "coded_kernels": float(len(kernels)),
        "most_values_of_a_table": float(most),
        "relative_error": float(np.sqrt(lost / total)) if total else 0.0,
    }


def restore(model: OnnxModel, data: bytes) -> None:
    """Put the weights of a container into a graph that has constants of the same names. ModelError if it has not."""
    graph = Graph(model)
    for name, values in container_file.read(data).items():
        kept = graph.value(name)
        if kept is None or kept.shape != values.shape:
            raise ModelError(
                f"the container holds '{name}' of shape {values.shape}, which the graph does not have",
                hint="Give the .onnx file that the container was written with.",
            )
        graph.replace(name, values)
