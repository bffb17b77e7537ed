"""An ONNX file whose state has no rows: the line for the plan is said, and not only that rows are lacking."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipeline.errors import DataError
from tests.support.plans import plan_for


def test_rows_that_lack_a_state(empty):
    ins = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", "h")]
    outs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("y", "hn")]
    nodes = [helper.make_node("Add", ["x", "h"], ["hn"]), helper.make_node("Relu", ["hn"], ["y"])]
    graph = helper.make_graph(nodes, "g", ins, outs)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), empty.folder / "m.onnx"
    )
    np.savez(empty.folder / "rows.npz", x=np.ones((2, 3), np.float32))
    with pytest.raises(DataError, match=r"lack the input 'h' of m\.onnx") as caught:
        empty.load(plan_for("m.onnx", '[data]\nevaluation = "rows.npz"'))
    assert 'state = { "h" = "hn" }' in caught.value.hint
