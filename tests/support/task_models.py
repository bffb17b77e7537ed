"""A linear model in ONNX, a worse one, and rows with labels of each kind of task."""

import numpy as np

WEIGHTS = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
X = np.random.default_rng(1).normal(size=(80, 6)).astype("float32")


def write_model(path, weights=WEIGHTS, *, more=False):
    """y = x @ weights, of a row (6,); `more`: a second output, twice that."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", weights.shape[1]])]
    if more:
        nodes.append(helper.make_node("Add", ["y", "y"], ["twice"]))
        outputs.append(helper.make_tensor_value_info("twice", TensorProto.FLOAT, ["n", weights.shape[1]]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def labels_of(kind):
    """Labels that the model nearly always answers rightly."""
    y = X @ WEIGHTS
    noisy = y + np.random.default_rng(2).normal(size=y.shape).astype("float32") * 0.3
    return {
        "classification": noisy.argmax(1),
        "multilabel": (noisy > 0).astype("uint8"),
        "regression": noisy,
        "embedding": noisy.argmax(1),
    }[kind]
