"""ONNX graphs with several inputs and outputs, and with state, through their passes."""

import numpy as np
import pytest

from pipeline import compress
from pipeline.compress.context import Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.onnx_graph.graph import copy_of
from pipeline.compress.onnx_graph.kernels import kernels_of
from pipeline.compress.onnx_graph.runs import moments, run, shapes_of_run
from pipeline.errors import DataError, StageError
from tests.pipeline.compress.answering import all_answers, looked

pytestmark = pytest.mark.frameworks
PASSES = {
    "prune_channels": {"ratio": 0.25, "round_to": 1},
    "prune_weights": {"sparsity": 0.4},
    "codebook": {"bits": 6},
    "equalize": {},
    "correct_bias": {},
}


def two_by_three():
    """Image and numbers -> scores, their argmax, and a regression."""
    from onnx import helper, numpy_helper

    draw = np.random.default_rng(0)

    def constant(name, *shape):
        return numpy_helper.from_array(draw.normal(0, 0.4, shape).astype(np.float32), name)

    node, value = helper.make_node, helper.make_tensor_value_info
    nodes = [
        node("Conv", ["image", "k1", "b1"], ["a1"], name="first", pads=[1] * 4),
        node("Relu", ["a1"], ["r1"]),
        node("Conv", ["r1", "k2", "b2"], ["a2"], name="second", pads=[1] * 4),
        node("Relu", ["a2"], ["r2"]),
        node("GlobalAveragePool", ["r2"], ["pooled"]),
        node("Flatten", ["pooled"], ["flat"]),
        node("Gemm", ["numbers", "k3", "b3"], ["s1"], name="side"),
        node("Relu", ["s1"], ["s2"]),
        node("Concat", ["flat", "s2"], ["both"], axis=1),
        node("Gemm", ["both", "k4", "b4"], ["scores"], name="kind"),
        node("Gemm", ["both", "k5", "b5"], ["metres"], name="size"),
        node("ArgMax", ["scores"], ["best"], axis=1),
    ]
    sizes = {"k1": (8, 3, 3, 3), "k2": (16, 8, 3, 3), "k3": (4, 8), "k4": (24, 5), "k5": (24, 1)}
    sizes |= {"b1": (8,), "b2": (16,), "b3": (8,), "b4": (5,), "b5": (1,)}
    graph = helper.make_graph(
        nodes, "g", [value("image", 1, ["N", 3, 8, 8]), value("numbers", 1, ["N", 4])],
        [value("scores", 1, ["N", 5]), value("metres", 1, ["N", 1]), value("best", 7, ["N", 1])],
        [constant(name, *shape) for name, shape in sizes.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def rows(count=40):
    draw = np.random.default_rng(1)
    sizes = {"image": (3, 8, 8), "numbers": (4,)}
    return {name: draw.normal(size=(count, *size)).astype(np.float32) for name, size in sizes.items()}


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_takes_them(name):
    model = two_by_three()
    applied = compress.apply(model, name, calibration=Dataset(rows()), **PASSES[name])
    after = applied.changed.model
    assert FORMATS["onnx"].interface(after) == FORMATS["onnx"].interface(model)
    was, now = all_answers(model, rows()), all_answers(after, rows())
    for place in (0, 1):
        assert np.abs(now[place] - was[place]).mean() < 0.6 * was[place].std()
    if name == "prune_channels":
        assert FORMATS["onnx"].multiply_accumulates(after) < FORMATS["onnx"].multiply_accumulates(model)


def test_the_last_kernel_of_each_output_stays_dense():
    layers = [kernel.layer for kernel in kernels_of(copy_of(two_by_three()), last=False)]
    assert layers == ["first", "second", "side"]


def test_rows_that_lack_an_input_are_refused():
    with pytest.raises(DataError, match=r"the rows of data\.calibration lack the input 'numbers'"):
        compress.apply(two_by_three(), "correct_bias", calibration=Dataset({"image": rows()["image"]}))


def test_what_is_passed_from_step_to_step():
    """h' = x W + h: the passes see each step with what the steps before it have left, and each row begins with zeros."""
    from onnx import helper, numpy_helper

    value = helper.make_tensor_value_info
    weights = numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product"), helper.make_node("Add", ["y", "h"], ["hn"])]
    graph = helper.make_graph(
        nodes, "g", [value("x", 1, [1, 2]), value("h", 1, [1, 2])], [value("hn", 1, [1, 2])], [weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    seen = looked(model, x, sequences=True, state=(("h", "hn"),))
    found = np.concatenate([values[0] for values in run(model, ["hn"], seen)])
    assert np.array_equal(found.reshape(2, 3, 2), x.cumsum(axis=1))
    (of_layer,) = moments(model, list(copy_of(model).layers()), seen)
    assert of_layer.mean == pytest.approx(x.mean((0, 1)))


def test_a_state_that_the_file_leaves_open_is_as_long_as_the_plan_says():
    from onnx import helper

    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Add", ["x", "h"], ["hn"])]
    graph = helper.make_graph(nodes, "g", [value("x", 1, [1, 2]), value("h", 1, [1, "n"])], [value("hn", 1, [1, 2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    seen = looked(model, x, sequences=True, state=(("h", "hn"),))
    with pytest.raises(StageError, match=r"the state 'h' has the open shape \(1, any\)") as caught:
        list(run(model, ["hn"], seen))
    assert 'shape = { "h" = [...] }' in caught.value.hint
    seen = seen._replace(shapes={"h": (1, 2)})
    assert shapes_of_run(model, seen)["h"] == (1, 2)
    found = np.concatenate([values[0] for values in run(model, ["hn"], seen)])
    assert np.array_equal(found.reshape(2, 3, 2), x.cumsum(axis=1))


def test_the_correction_of_biases_is_judged_by_the_outputs_that_there_are():
    """An argmax alone tells little, but is no reason to fail; beside one output of floating point it is no second share."""
    only = two_by_three()
    del only.graph.output[:2]
    assert "error of the answers that rounded weights make was " in corrected(only)
    two = two_by_three()
    del two.graph.output[1]
    assert "error of the answers that rounded weights make was " in corrected(two)
    assert "make, as a share of each output's variance, was " in corrected(two_by_three())


def corrected(model):
    return " ".join(compress.apply(model, "correct_bias", calibration=Dataset(rows())).changed.notes)
