"""Axes without a length: said before anything is made, and not on the board."""

import onnx
import pytest
from onnx import TensorProto, helper

from pipeline import measure
from pipeline.errors import PlanError
from pipeline.records import Artifact, Model, TensorSpec
from tests.support.commands import edgepress


def model(*inputs, state=()):
    artifact = Artifact(sha256="0" * 64, format="onnx", size_bytes=1)
    return Model(name="m", artifact=artifact, inputs=inputs, outputs=(), parameters=None, state=state)


@pytest.mark.parametrize(
    ("shape", "fixed", "said"),
    [
        ((None, 3, None, None), None, "open axes of the input 'x' (any, 3, any, any) of m.onnx"),
        (None, None, "open axes of the input 'x' any shape of m.onnx"),
        ((None, 3, None, None), (1, 3, 8, 8), ""),
        ((None, 3, 8, 8), None, ""),
        ((), None, ""),
    ],
)
def test_each_axis_needs_a_length(shape, fixed, said):
    one = model(TensorSpec(name="x", shape=shape, dtype="float32", fixed=fixed))
    if not said:
        measure.check_lengths(one, "m.onnx")
        return
    with pytest.raises(PlanError) as caught:
        measure.check_lengths(one, "m.onnx")
    assert said in caught.value.message
    assert '[model] shape = { "x" = [...] }, or rows with [data] evaluation' in caught.value.hint


def test_the_length_of_a_state_is_not_asked_of_rows():
    """It has none: the plan alone can say it."""
    one = model(TensorSpec(name="h", shape=(2, None, 64), dtype="float32"), state=(("h", "hn"),))
    with pytest.raises(PlanError, match=r"the input 'h' \(2, any, 64\) of vad\.onnx") as caught:
        measure.check_lengths(one, "vad.onnx")
    assert caught.value.hint.endswith('[model] shape = { "h" = [...] }.')


@pytest.mark.frameworks
def test_it_is_said_before_the_first_pass(tmp_path):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, "H", "W"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(proto, tmp_path / "m.onnx")
    plan = tmp_path / "edge.toml"
    plan.write_text('[model]\npath = "m.onnx"\n[board]\nname = "local"\n')
    done = edgepress("run", plan)
    assert done.returncode == 2, done.stderr
    assert "nothing says how long the open axes of the input 'x' (any, 3, any, any) of m.onnx are" in done.stderr
    assert "compress" not in done.stderr
    plan.write_text(plan.read_text().replace("[board]", "constants = { x = 1 }\n[board]"))
    done = edgepress("run", plan)
    assert done.returncode == 2, done.stderr
    assert "model.constants names 'x', and without rows the board runs on zeros" in done.stderr
    assert "load" not in done.stderr  # the plan alone says it
