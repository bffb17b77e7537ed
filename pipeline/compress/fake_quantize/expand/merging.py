"""Several tensors become one, two at a time: what a file has no operator for, and no range between."""

from pipeline.compress.fake_quantize.expand.parts import Parts
from pipeline.frameworks.types import KerasLayer, KerasTensor


def in_pairs(parts: Parts, layer: KerasLayer, tensors: list[KerasTensor]) -> KerasTensor:
    """Return what a layer such as Add gives of all of them."""
    return _pairs(parts, layer, type(layer), tensors)


def average(parts: Parts, layer: KerasLayer, tensors: list[KerasTensor]) -> KerasTensor:
    """Return the sum, times one by their number."""
    from keras import layers, ops

    total = _pairs(parts, layer, layers.Add, tensors)
    return parts.named(layer, "share", ops.multiply(total, 1 / len(tensors)))


def _pairs(parts: Parts, layer: KerasLayer, kind: type[KerasLayer], tensors: list[KerasTensor]) -> KerasTensor:
    x, *others = tensors
    for i, other in enumerate(others):
        last = i + 1 == len(others) and kind is type(layer)
        x = parts.layer(layer, "" if last else f"pair_{i + 1}", kind, None, [x, other])
    return x
