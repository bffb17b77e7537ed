"""A file that draws random numbers is said to: else its answers look as if the board computed them wrongly."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.frameworks import random_numbers, tflite_description
from pipeline.frameworks.tflite_names import interface
from pipeline.frameworks.tflite_schema import Operator, read
from tests.support.plans import plan_for


@pytest.mark.parametrize(
    ("operators", "drawing", "named"),
    [
        (["Conv", "RandomNormalLike", "Bernoulli"], random_numbers.ONNX, "(Bernoulli, RandomNormalLike)"),
        (["CONV_2D", "RANDOM_UNIFORM"], random_numbers.TFLITE, "(RANDOM_UNIFORM)"),
        (["Conv", "Dropout"], random_numbers.ONNX, None),
    ],
)
def test_operators_that_draw(operators, drawing, named):
    said = random_numbers.sentence(operators, drawing)
    assert (said is None) if named is None else said.startswith(f"It draws random numbers {named}: ")


def test_a_tflite_file():
    data = (Path(__file__).parents[3] / "pipeline" / "selftest.tflite").read_bytes()
    file = read(data, "m")
    assert "random" not in " ".join(tflite_description.sentences(file, interface(file, "m")))
    first, *others = file.subgraphs
    drawn = Operator(name="RANDOM_STANDARD_NORMAL", version=1, is_custom=False, inputs=(), outputs=())
    other = file._replace(subgraphs=(first._replace(operators=(*first.operators, drawn)), *others))
    assert "It draws random numbers (RANDOM_STANDARD_NORMAL): " in " ".join(
        tflite_description.sentences(other, interface(other, "m"))
    )


@pytest.mark.frameworks
@pytest.mark.parametrize("draws", [False, True])
def test_an_onnx_file_that_draws_in_a_branch(empty, draws):
    import onnx
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", "y")]
    body = [helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 3])]
    kind = "RandomNormalLike" if draws else "Relu"
    branches = {
        "then_branch": helper.make_graph([helper.make_node(kind, ["x"], ["b"])], "then", [], body),
        "else_branch": helper.make_graph([helper.make_node("Neg", ["x"], ["b"])], "else", [], body),
    }
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Cast", ["s"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["y"], **branches),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(proto, empty.folder / "m.onnx")
    np.savez(empty.folder / "rows.npz", x=np.ones((2, 3), np.float32))
    loaded, _ = empty.load(plan_for("m.onnx", '[data]\nevaluation = "rows.npz"'))
    assert [each for each in loaded.notes if "RandomNormalLike" in each] == list(loaded.notes)
    assert len(loaded.notes) == draws
