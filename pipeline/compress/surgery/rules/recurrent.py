"""Recurrent layers: every unit has a column for each gate, and a row in the recurrent kernel."""

import numpy as np

from pipeline.compress.surgery.channels import Axes, Ids
from pipeline.compress.surgery.rules.elementwise import activated
from pipeline.compress.surgery.wiring import Call, Tensor
from pipeline.frameworks.types import KerasLayer, KerasVariable


def recurrent(call: Call) -> list[Axes]:
    """LSTM, GRU, SimpleRNN; with states too, given and put out."""
    layer = call.layer
    if layer.stateful:
        return call.fixed(f"'{call.name}' carries its state from batch to batch")
    units = call.new(layer.units)
    _cell(call, layer, units)
    call.makes(units, *_kernels(layer))
    _start(call, units)
    return [_spread(shape, units) for shape in call.out_shapes]


def bidirectional(call: Call) -> list[Axes]:
    """Both directions lose the same units: Keras builds them equally wide."""
    forward, backward = call.layer.forward_layer, call.layer.backward_layer
    known = {"LSTM", "GRU", "SimpleRNN"}
    if {type(forward).__name__, type(backward).__name__} - known or forward.units != backward.units:
        return call.fixed()
    if forward.stateful:
        return call.fixed(f"'{call.name}' carries its state from batch to batch")
    units = call.new(forward.units)
    for each in (forward, backward):
        _cell(call, each, units)
    call.makes(units, *_kernels(forward), *_kernels(backward))
    _start(call, units)
    both = np.concatenate([units, units])
    states = [(None, units)] * (len(call.out_shapes) - (2 if call.layer.merge_mode is None else 1))
    merged = both if call.layer.merge_mode == "concat" else units
    outputs = call.out_shapes[: len(call.out_shapes) - len(states)]
    return [*(_spread(shape, merged) for shape in outputs), *states]


def _cell(call: Call, layer: KerasLayer, units: Ids) -> None:
    cell = layer.cell
    call.only(call.x, -1)
    gates = np.tile(units, cell.kernel.shape[1] // layer.units)
    call.weight(cell.kernel, call.x[-1], gates)
    call.weight(cell.recurrent_kernel, units, gates)
    if cell.bias is not None:
        call.weight(cell.bias, *(None,) * (len(cell.bias.shape) - 1), gates)
    call.size(layer, units=units)
    for activation in (cell.activation, getattr(cell, "recurrent_activation", None)):
        activated(call, activation, units)


def _kernels(layer: KerasLayer) -> list[tuple[KerasVariable, int]]:
    return [(layer.cell.kernel, 1), (layer.cell.recurrent_kernel, 1)]


def _start(call: Call, units: Ids) -> None:
    """States that are given have the width of the layer."""
    given = call.arguments.get("initial_state")
    states = given if isinstance(given, list | tuple) else [given]
    for state in states:
        if isinstance(state, Tensor):
            call.tie(state.axes[-1], units)


def _spread(shape: tuple[int | None, ...], ids: Ids) -> Axes:
    return (*(None,) * (len(shape) - 1), ids)
