"""Multiply-accumulates of one inference of an ONNX graph, counted as in `pipeline.compress.cost`: convolutions, matrix products and
recurrent cells.
"""

import math

from pipeline.compress.onnx_graph.graph import attribute
from pipeline.frameworks.types import OnnxModel, OnnxNode

RECURRENT = ("LSTM", "GRU", "RNN")
Shapes = dict[str, tuple[int | None, ...]]


def of_onnx(model: OnnxModel) -> int | None:
    """Return the count for a batch of 1; None if a shape that it needs is open."""
    shapes = shapes_of(model)
    total = 0
    for node in model.graph.node:
        cost = _of_node(node, shapes)
        if cost is None:
            return None
        total += cost
    return total


def shapes_of(model: OnnxModel) -> Shapes:
    """Return the shape of every tensor that is known without running, for a batch of 1."""
    import onnx

    one = onnx.ModelProto()
    one.CopyFrom(model)
    constants = {tensor.name: tuple(tensor.dims) for tensor in one.graph.initializer}
    inputs = [value.type.tensor_type.shape.dim for value in one.graph.input if value.name not in constants]
    batches = {dims[0].dim_param for dims in inputs if len(dims)}  # it may stand on another axis of another input
    for dims in inputs:
        for axis, size in enumerate(dims):
            if not size.HasField("dim_value") and (axis == 0 or (size.dim_param and size.dim_param in batches)):
                size.dim_value = 1
    for value in one.graph.output:  # a batch that was written down as open would win over the inferred one
        value.type.tensor_type.ClearField("shape")
    del one.graph.value_info[:]
    try:
        one = onnx.shape_inference.infer_shapes(one, data_prop=True)
    except Exception:  # noqa: BLE001 - operators that onnx does not know: their shapes stay open
        return dict(constants)
    shapes: Shapes = dict(constants)
    for value in (*one.graph.input, *one.graph.value_info, *one.graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape"):
            shapes[value.name] = tuple(size.dim_value if size.dim_value > 0 else None for size in tensor.shape.dim)
    return shapes


def _of_node(node: OnnxNode, shapes: Shapes) -> int | None:
    if node.op_type in ("Conv", "ConvTranspose"):
        places = shapes.get(node.output[0] if node.op_type == "Conv" else node.input[0])
        return _product(shapes.get(node.input[1]), None if places is None else places[2:])
    if node.op_type == "Gemm":
        inner = shapes.get(node.input[0])
        return _product(
            shapes.get(node.output[0]),
            None if inner is None else inner[:1] if attribute(node, "transA", 0) else inner[1:],
        )
    if node.op_type == "MatMul":
        inner = shapes.get(node.input[0])
        return _product(shapes.get(node.output[0]), None if inner is None else inner[-1:])
    if node.op_type in RECURRENT:  # input (steps, batch, features), or (batch, steps, features) with layout 1
        given = shapes.get(node.input[0])
        steps = None if given is None else given[attribute(node, "layout", 0)]
        each = [_product(shapes.get(name), ()) for name in node.input[1:3]]
        return None if steps is None or None in each else steps * sum(count for count in each if count is not None)
    return 0


def _product(one: tuple[int | None, ...] | None, other: tuple[int | None, ...] | None) -> int | None:
    if one is None or other is None or None in one or None in other:
        return None
    return math.prod(size for size in (*one, *other) if size is not None)
