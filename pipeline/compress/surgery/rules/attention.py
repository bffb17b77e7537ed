"""Attention: heads are removed whole, as in Michel, Levy, Neubig (arXiv 1905.10650)."""

from pipeline.compress.surgery.channels import Axes, Ids
from pipeline.compress.surgery.wiring import Call, Tensor


def multi_head(call: Call) -> list[Axes]:
    """Kernels of query, key and value are (in, heads, width of a head), that of the output (heads, width of a head, out)."""
    layer = call.layer
    query, value, key = (call.arguments.get(name) for name in ("query", "value", "key"))
    key = value if key is None else key
    out_axes = len(layer.output_dense.kernel.shape) - 2
    if not (isinstance(query, Tensor) and isinstance(value, Tensor) and isinstance(key, Tensor)) or out_axes != 1:
        return call.fixed()
    heads, out = call.new(layer.num_heads), call.new(layer.output_dense.kernel.shape[-1])
    given = {"_query_dense": query, "_key_dense": key, "_value_dense": value, "_gate_dense": query}
    kernels = [(layer.output_dense.kernel, 0)]
    for name, tensor in given.items():
        inner = getattr(layer, name, None)
        if inner is not None:
            call.weight(inner.kernel, tensor.axes[-1], heads, None)
            call.weight(inner.bias, heads, None)
            kernels.append((inner.kernel, 1))
    call.weight(layer.output_dense.kernel, heads, None, out)
    call.weight(layer.output_dense.bias, out)
    call.size(num_heads=heads, output_shape=(out,))
    call.makes(heads, *kernels, kind="heads")
    call.makes(out, (layer.output_dense.kernel, 2))
    for tensor in call.inputs:
        call.only(tensor.axes, *((-1,) if any(tensor is each for each in (query, key, value)) else ()))
    answers = (*(None,) * (len(call.out_shapes[0]) - 1), out)
    scores = [_scores(shape, heads) for shape in call.out_shapes[1:]]
    return [answers, *scores]


def _scores(shape: tuple[int | None, ...], heads: Ids) -> Axes:
    return (None, heads, *(None,) * (len(shape) - 2))


def dot_product(call: Call) -> list[Axes]:
    """Query and key are summed over; the channels of the value come out."""
    if call.layer.score_mode != "dot":
        return call.fixed()
    return _attended(call)


def additive(call: Call) -> list[Axes]:
    call.weight(call.layer.scale, call.x[-1])
    if call.layer.scale is None:
        return call.fixed()
    return _attended(call)


def _attended(call: Call) -> list[Axes]:
    tensors = call.arguments.get("inputs")
    if not isinstance(tensors, list | tuple) or len(call.inputs) != len(tensors):
        return call.fixed()  # with masks
    query, value, *rest = tensors
    key = rest[0] if rest else value
    call.tie(query.axes[-1], key.axes[-1])
    for tensor in tensors:
        call.only(tensor.axes, -1)
    scores: list[Axes] = [(None,) * len(shape) for shape in call.out_shapes[1:]]
    return [(*(None,) * (len(call.out_shapes[0]) - 1), value.axes[-1]), *scores]
