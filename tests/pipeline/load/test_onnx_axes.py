"""Rows whose lengths contradict what the file calls its axes: said by the names, and not in a runtime's words for an operator."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipeline.errors import DataError, ModelError
from tests.support.plans import plan_for

pytestmark = pytest.mark.frameworks
DATA = '[data]\nevaluation = "rows.npz"'


def save(folder, first, second, operator="Add"):
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, axes) for n, axes in (("a", first), ("b", second))]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    attributes = {"axis": 1} if operator == "Concat" else {}
    graph = helper.make_graph([helper.make_node(operator, ["a", "b"], ["y"], **attributes)], "g", ends, [out])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(proto, folder / "m.onnx")


@pytest.mark.parametrize("whole", [False, True])
def test_one_name_and_two_lengths(empty, whole):
    save(empty.folder, ["N", "T"], ["N", "T"])
    batch = (1,) if whole else ()
    np.savez(empty.folder / "rows.npz", a=np.ones((3, *batch, 4), "f4"), b=np.ones((3, *batch, 5), "f4"))
    with pytest.raises(DataError, match=r"its axis 'T' is 4 in 'a' and 5 in 'b'") as caught:
        empty.load(plan_for("m.onnx", DATA))
    assert caught.value.exit_code == 2


def test_names_that_differ_are_the_runtimes_to_judge(empty):
    save(empty.folder, ["N", "S"], ["N", "T"])
    np.savez(empty.folder / "rows.npz", a=np.ones((3, 4), "f4"), b=np.ones((3, 5), "f4"))
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot run m\.onnx"):
        empty.load(plan_for("m.onnx", DATA))


def test_one_name_for_axes_that_need_not_be_alike(empty):
    save(empty.folder, ["N", "T"], ["N", "T"], "Concat")
    np.savez(empty.folder / "rows.npz", a=np.ones((3, 4), "f4"), b=np.ones((3, 5), "f4"))
    loaded, _ = empty.load(plan_for("m.onnx", DATA))
    assert loaded.data.evaluation.rows == 3
