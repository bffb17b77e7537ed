"""Attention, as the projections, two products and a softmax that a file has of it."""

from typing import Any

import numpy as np

from pipeline.compress.fake_quantize.expand.parts import Parts
from pipeline.frameworks.types import KerasLayer, KerasNode, KerasTensor

MASKS = ("attention_mask", "query_mask", "value_mask", "key_mask", "use_causal_mask")


def multi_head(
    parts: Parts, layer: KerasLayer, query: KerasTensor, value: KerasTensor, key: KerasTensor = None, **options: Any
) -> KerasTensor:
    """The query's kernel is divided by the root of the head's width, so that no product is left to round for it."""
    from keras import layers, ops

    del options
    share = 1 / np.sqrt(layer.key_dim)
    q = _projected(parts, layer, "query", query, (2, 1, 3), share)
    k = _projected(parts, layer, "key", value if key is None else key, (2, 3, 1))
    v = _projected(parts, layer, "value", value, (2, 1, 3))
    scores = parts.named(layer, "scores", ops.matmul(q, k))
    weights = parts.layer(layer, "weights", layers.Softmax, None, scores)
    if layer.dropout:
        weights = parts.layer(layer, "dropout", layers.Dropout, None, weights, rate=layer.dropout)
    x = parts.named(layer, "attended", ops.matmul(weights, v))
    x = parts.layer(layer, "heads_last", layers.Permute, None, x, dims=(2, 1, 3))
    x = parts.layer(layer, "joined", layers.Reshape, None, x, target_shape=(-1, x.shape[2] * x.shape[3]))
    kernel, *bias = layer.output_dense.get_weights()
    return parts.dense(layer, "", x, kernel.reshape(-1, kernel.shape[-1]), bias[0] if bias else None)


def refuse(node: KerasNode) -> str | None:
    layer, options = node.operation, node.arguments.kwargs
    used = [name for name in MASKS if options.get(name) is not None and options.get(name) is not False]
    if used:
        return f"it is called with a mask ({used[0]}), and an 8-bit file has none"
    if options.get("return_attention_scores"):
        return "its scores are used, too"
    config = layer.get_config()
    if config.get("use_gate") or config.get("sliding_window"):
        return "it has a gate or a window"
    if any(len(x.shape) != 3 for x in (*node.input_tensors, *node.outputs)):
        return "it attends along more than one axis"
    return None


def _projected(
    parts: Parts, layer: KerasLayer, role: str, x: KerasTensor, order: tuple[int, ...], factor: float = 1.0
) -> KerasTensor:
    """Return (rows, heads, steps, width of a head), or in another order."""
    from keras import layers

    kernel, *bias = getattr(layer, f"{role}_dense").get_weights()
    heads, width = kernel.shape[1:]
    flat = [
        np.asarray(each * factor, np.float32)
        for each in (kernel.reshape(kernel.shape[0], -1), *(b.reshape(-1) for b in bias))
    ]
    y = parts.dense(layer, role, x, flat[0], flat[1] if bias else None)
    y = parts.layer(layer, f"{role}_heads", layers.Reshape, None, y, target_shape=(-1, heads, width))
    return parts.layer(layer, f"{role}_turned", layers.Permute, None, y, dims=order)
