"""Layers around a layer."""

from pipeline.compress.surgery import rules
from pipeline.compress.surgery.channels import Axes
from pipeline.compress.surgery.wiring import Call, Tensor


def time_distributed(call: Call) -> list[Axes]:
    """Return the inner layer's rule, for tensors without the axis of time."""
    rule = rules.rule_of(call.layer.layer)
    if rule is None:
        return call.fixed()
    for tensor in call.inputs:
        call.keep(tensor.axes[1], f"'{call.name}' takes them for steps of time")
    inner = Call(
        call.layer.layer, call.name, call.wiring, {}, [_without_time(tensor) for tensor in call.inputs],
        [(shape[0], *shape[2:]) for shape in call.out_shapes],
    )  # fmt: skip
    return [(axes[0], None, *axes[1:]) for axes in rule(inner)]


def _without_time(tensor: Tensor) -> Tensor:
    return Tensor((tensor.axes[0], *tensor.axes[2:]), (tensor.shape[0], *tensor.shape[2:]))
