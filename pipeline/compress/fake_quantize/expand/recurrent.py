"""Recurrent layers, step by step: each operator of each step has a range, which all steps share.

A kernel for the whole layer keeps values inside that no range is known for, and TensorFlow's converter (2.21) crashes on the loop.
"""

from collections.abc import Callable, Iterator
from typing import Any

from pipeline.compress.fake_quantize.expand import masks
from pipeline.compress.fake_quantize.expand.parts import Parts
from pipeline.compress.fake_quantize.functions import KNOWN
from pipeline.frameworks.types import KerasLayer, KerasNode, KerasTensor

MOST_STEPS = 64
"""Of a layer: a file has a dozen operators for each step."""


def recurrent(parts: Parts, layer: KerasLayer, x: KerasTensor, **options: Any) -> Any:
    """LSTM, GRU, SimpleRNN."""
    del options
    states = _states(parts, layer, layer, "", x)
    output = _output(parts, layer, layer, "", [state[0] for state in states])
    return [output, *states[-1]] if layer.return_state else output


def bidirectional(parts: Parts, layer: KerasLayer, x: KerasTensor, **options: Any) -> Any:
    from keras import layers, ops

    del options
    both = []
    for role, inner in (("forward_", layer.forward_layer), ("backward_", layer.backward_layer)):
        states = [state[0] for state in _states(parts, layer, inner, role, x)]
        if inner.return_sequences and role == "backward_":
            states.reverse()
        both.append(_output(parts, layer, inner, role, states))
    if layer.merge_mode is None:
        return both
    if layer.merge_mode == "ave":
        total = parts.layer(layer, "sum", layers.Add, None, both)
        return parts.named(layer, "share", ops.multiply(total, 0.5))
    kind = {"concat": layers.Concatenate, "sum": layers.Add, "mul": layers.Multiply}[layer.merge_mode]
    return parts.layer(layer, "", kind, None, both)


def refuse(node: KerasNode) -> str | None:
    layer = node.operation
    inner = [layer.forward_layer, layer.backward_layer] if hasattr(layer, "forward_layer") else [layer]
    if any(type(each).__name__ not in CELLS for each in inner):
        return "it wraps another layer than LSTM, GRU or SimpleRNN"
    if any(each.stateful for each in inner):
        return "it carries its state from batch to batch"
    if len(node.input_tensors) > 1 + (node.arguments.kwargs.get("mask") is not None):
        return "its state begins with a tensor that it is given"
    other = masks.refuse_other(node)
    if other is not None:
        return other
    if any(each.zero_output_for_mask for each in inner) and masks.mask_of(node) is not None:
        return "it gives zeros for masked steps (zero_output_for_mask=True)"
    if layer.return_state and len(inner) > 1:
        return "it returns the states of both directions"
    steps = node.input_tensors[0].shape[1]
    if steps is None or steps > MOST_STEPS:
        many = "an open number of" if steps is None else str(steps)
        return f"it runs over {many} steps, and the pass writes out at most {MOST_STEPS}"
    used = [getattr(each, name, None) for each in inner for name in ("activation", "recurrent_activation")]
    names = [str(getattr(function, "__name__", function)) for function in used if function is not None]
    wrong = [name for name in names if name not in KNOWN]
    return f"the pass knows no 8-bit form of the activation '{wrong[0]}'" if wrong else None


def _states(parts: Parts, owner: KerasLayer, layer: KerasLayer, role: str, x: KerasTensor) -> list[list[KerasTensor]]:
    """Return the states after each step, in the order in which the layer takes them."""
    from keras import layers

    if layer.dropout:
        x = parts.layer(owner, f"{role}dropout", layers.SpatialDropout1D, None, x, rate=layer.dropout)
    cell = Cell(parts, owner, layer, role)
    states = list(CELLS[type(layer).__name__](cell, x))
    for name in cell.shared:
        parts.together[name] = name
    return states


def _output(parts: Parts, owner: KerasLayer, layer: KerasLayer, role: str, states: list[KerasTensor]) -> KerasTensor:
    from keras import ops

    return parts.named(owner, f"{role}steps", ops.stack(states, axis=1)) if layer.return_sequences else states[-1]


class Cell:
    """What the steps of one layer are made of; each part is one layer that every step calls."""

    def __init__(self, parts: Parts, owner: KerasLayer, layer: KerasLayer, role: str) -> None:
        self.parts, self.owner, self.layer, self.role = parts, owner, layer, role
        self.kernel, self.recurrent, *bias = layer.get_weights()
        self.bias = bias[0] if bias else None
        self.units = layer.units
        self.step = 0  # that is taken
        self.shared: set[str] = set()  # parts whose answers have one range in all steps

    def steps(self, x: KerasTensor) -> Iterator[KerasTensor]:
        """Yield what the kernel makes of each step."""
        bias = self.bias[0] if self.bias is not None and self.bias.ndim == 2 else self.bias
        z = self.parts.dense(self.owner, f"{self.role}kernel", x, self.kernel, bias)
        count = x.shape[1]
        for t in reversed(range(count)) if self.layer.go_backwards else range(count):
            self.step = t
            yield self.parts.named(self.owner, f"{self.role}step", z[:, t])

    def held(self, role: str, after: KerasTensor, before: KerasTensor | None) -> KerasTensor:
        """Return the state `role` after this step; where the step is masked it stays what it was, to the last bit."""
        from keras import ops

        counts = self.parts.counts
        if counts is None:
            return after
        new = self.parts.named(self.owner, f"{self.role}counts", counts[:, self.step])
        after = self._as_before(role, "Multiply", after, new)
        if before is None:
            return after
        old = self.parts.named(self.owner, f"{self.role}masked", ops.subtract(1.0, new))
        return self._as_before(role, "Add", after, self._as_before(role, "Multiply", before, old))

    def _as_before(self, role: str, kind: str, *tensors: KerasTensor) -> KerasTensor:
        """Return what an operator makes of two tensors, in the range of the state `role`."""
        from keras import ops

        y = self.parts.named(self.owner, f"{self.role}{role}_held", getattr(ops, kind.lower())(*tensors))
        self.parts.together[y._keras_history.operation.name] = f"{self.owner.name}_{self.role}{role}"  # noqa: SLF001
        return y

    def item(self, x: KerasTensor, first: int, last: int) -> KerasTensor:
        """Return some gates of all."""
        return self.parts.named(self.owner, f"{self.role}gate", x[:, first * self.units : last * self.units])

    def join(self, role: str, kind: str, *tensors: KerasTensor) -> KerasTensor:
        from keras import layers

        return self._one(role, getattr(layers, kind), None, list(tensors))

    def again(self, role: str, h: KerasTensor, first: int, last: int, bias: Any = None) -> KerasTensor:
        """Return what these columns of the recurrent kernel make of the state."""
        from keras import layers

        if self.layer.recurrent_dropout:
            h = self.parts.layer(
                self.owner, f"{self.role}recurrent_dropout", layers.Dropout, None, h, rate=self.layer.recurrent_dropout
            )
        kernel = self.recurrent[:, first * self.units : last * self.units]
        weights = [kernel] if bias is None else [kernel, bias]
        return self._one(role, layers.Dense, weights, h, units=kernel.shape[1], use_bias=bias is not None)

    def function(self, role: str, x: KerasTensor, *, gate: bool = False) -> KerasTensor:
        from keras import layers

        function = self.layer.recurrent_activation if gate else self.layer.activation
        return self.parts.layer(self.owner, self.role + role, layers.Activation, None, x, activation=function)

    def zero(self, role: str, x: KerasTensor, like: str) -> KerasTensor:
        """Return zeros with the range that the part `like` has."""
        from keras import ops

        zero = self.parts.named(self.owner, self.role + role, ops.multiply(self.item(x, 0, 1), 0.0))
        self.parts.together[zero._keras_history.operation.name] = f"{self.owner.name}_{self.role}{like}"  # noqa: SLF001
        return zero

    def _one(self, role: str, kind: type[KerasLayer], weights: Any, *inputs: Any, **config: Any) -> KerasTensor:
        y = self.parts.layer(self.owner, self.role + role, kind, weights, *inputs, **config)
        self.shared.add(self.parts.made[id(self.owner), self.role + role].name)
        return y


def _lstm(cell: Cell, x: KerasTensor) -> Iterator[list[KerasTensor]]:
    h: KerasTensor = None
    c: KerasTensor = None
    for given in cell.steps(x):
        z = given if h is None else cell.join("sum", "Add", given, cell.again("recurrent", h, 0, 4))
        i, f, o = (
            cell.function(role, cell.item(z, at, at + 1), gate=True)
            for role, at in (("in", 0), ("keep", 1), ("out", 3))
        )
        new = cell.join("new", "Multiply", i, cell.function("candidate", cell.item(z, 2, 3)))
        after = new if c is None else cell.join("cell", "Add", cell.join("kept", "Multiply", f, c), new)
        h = cell.held("state", cell.join("state", "Multiply", o, cell.function("shown", after)), h)
        c = cell.held("cell", after, c)
        yield [h, c]


def _gru(cell: Cell, x: KerasTensor) -> Iterator[list[KerasTensor]]:
    """H' = n + z (h - n), which is z h + (1 - z) n."""
    after = cell.layer.reset_after
    h: KerasTensor = None
    for given in cell.steps(x):
        if h is None:
            h = cell.zero("begin", given, "state")
        if after:
            bias = None if cell.bias is None else cell.bias[1]
            inner = cell.again("recurrent", h, 0, 3, bias)
        else:
            inner = cell.again("recurrent", h, 0, 2)
        gates = cell.join("sum", "Add", cell.item(given, 0, 2), cell.item(inner, 0, 2))
        z, r = (
            cell.function(role, cell.item(gates, at, at + 1), gate=True) for role, at in (("update", 0), ("reset", 1))
        )
        if after:
            past = cell.join("past", "Multiply", r, cell.item(inner, 2, 3))
        else:
            past = cell.again("recurrent_new", cell.join("past", "Multiply", r, h), 2, 3)
        n = cell.function("new", cell.join("new_sum", "Add", cell.item(given, 2, 3), past))
        moved = cell.join("moved", "Multiply", z, cell.join("apart", "Subtract", h, n))
        h = cell.held("state", cell.join("state", "Add", n, moved), h)
        yield [h]


def _simple(cell: Cell, x: KerasTensor) -> Iterator[list[KerasTensor]]:
    h: KerasTensor = None
    for given in cell.steps(x):
        z = given if h is None else cell.join("sum", "Add", given, cell.again("recurrent", h, 0, 1))
        h = cell.held("state", cell.function("state", z), h)
        yield [h]


CELLS: dict[str, Callable[[Cell, KerasTensor], Iterator[list[KerasTensor]]]] = {
    "LSTM": _lstm, "GRU": _gru, "SimpleRNN": _simple,
}  # fmt: skip
"""Class name of a layer -> the states after each of its steps."""
