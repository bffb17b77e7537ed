"""ONNX models: counted by hand, quantized by ONNX Runtime, nested, damaged."""

import os
import random
import sys

import numpy as np
import pytest

from pipeline.audit import audit
from pipeline.errors import EdgepressError
from tests.support.onnx_graphs import Build

pytestmark = pytest.mark.frameworks


def saved(nodes, inputs, outputs, path, weights=(), opset=17, **more):
    import onnx
    from onnx import helper

    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    domains = [helper.make_opsetid("", opset), *(helper.make_opsetid(each, 1) for each in more.pop("domains", ()))]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=8, **more), path)
    return path


def real(name, shape):
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def constant(name, *shape):
    from onnx import numpy_helper

    return numpy_helper.from_array(np.full(shape, 0.1, np.float32), name)


def network(folder):
    """Convolution, depthwise, pooling, dense: (1, 3, 8, 8) -> (1, 10)."""
    build = Build()
    y = build.depthwise(build.relu(build.conv("x", 6)))
    y = build.gemm(build.node("Flatten", build.pool(y)), 6, 10)
    return saved(
        build.nodes, [build.input], [real(y, [1, 10])], folder / "net.onnx", build.constants
    ), 8 * 8 * 6 * 27 + 8 * 8 * 6 * 9 + 6 * 10


def quantized(path, to, **more):
    from onnxruntime import quantization
    from onnxruntime.quantization import CalibrationDataReader

    class Rows(CalibrationDataReader):
        def __init__(self):
            self.rows = iter([{"x": np.random.default_rng(k).normal(size=(1, 3, 8, 8)).astype("f4")} for k in range(4)])

        def get_next(self):
            return next(self.rows, None)

    quantization.quantize_static(str(path), str(to), Rows(), per_channel=True, **more)
    return audit(to)


def test_a_float_model_is_counted(tmp_path):
    path, macs = network(tmp_path)
    found = audit(path)
    assert found.macs == macs
    assert found.shares["float"].macs_ratio == 1.0
    assert found.needs == "opset 17, IR 8"
    assert [each.can for each in found.runs] == [True] * 5
    assert found.parameters == 6 * 27 + 6 + 6 * 9 + 6 + 60 + 10
    assert found.activation_bytes == 2 * 4 * 8 * 8 * 6


def test_static_int8(tmp_path):
    path, macs = network(tmp_path)
    found = quantized(path, tmp_path / "net_int8.onnx")
    assert found.macs == macs
    assert found.shares["int8"].macs_ratio == 1.0
    assert found.is_what_it_claims is True


def test_dynamic_int8_is_not_int8(tmp_path):
    from onnxruntime import quantization

    path, _ = network(tmp_path)
    quantization.quantize_dynamic(str(path), str(tmp_path / "net_int8.onnx"))
    found = audit(tmp_path / "net_int8.onnx")
    assert found.shares["hybrid"].macs_ratio == 1.0
    assert found.is_what_it_claims is False
    assert {each.stored for each in found.operators if each.arithmetic == "hybrid"} <= {"int8", "uint8"}


def test_an_operator_that_was_left_out_is_an_island(tmp_path):
    path, macs = network(tmp_path)
    found = quantized(path, tmp_path / "net_int8.onnx", op_types_to_quantize=["Gemm", "GlobalAveragePool"])
    assert found.shares["float"].macs == macs - 60
    assert found.islands[0].maker == "Conv"
    assert found.islands[0].macs == macs - 60
    assert any(each.startswith("It is called int8, and is not: 2 of its 3 operators") for each in found.findings)


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_a_recurrent_net_in_an_int8_file_stays_float(tmp_path, kind, gates):
    from onnx import helper

    weights = [constant("w", 1, gates * 5, 3), constant("r", 1, gates * 5, 5)]
    node = helper.make_node(kind, ["x", "w", "r"], ["", "h"], hidden_size=5)
    path = saved([node], [real("x", [7, 1, 3])], [real("h", [1, 1, 5])], tmp_path / f"{kind}-int8.onnx", weights)
    found = audit(path)
    assert found.macs == 7 * gates * 5 * (3 + 5)
    assert found.is_what_it_claims is False
    assert f"1 of its 1 operators with weights do not compute in int8: {kind} 'h' (float)" in found.findings[0]


def test_products_of_matrices(tmp_path):
    from onnx import helper

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),  # (2, 5, 3) (3, 4)
        helper.make_node("Gemm", ["b", "v"], ["c"], transA=1),  # (6, 2) turned, (6, 7)
        helper.make_node("ConvTranspose", ["d", "k"], ["e"]),  # (1, 2, 4, 4), (2, 3, 2, 2)
    ]
    inputs = [real("x", [2, 5, 3]), real("b", [6, 2]), real("d", [1, 2, 4, 4])]
    outputs = [real("a", [2, 5, 4]), real("c", [2, 7]), real("e", [1, 3, 5, 5])]
    path = saved(
        nodes,
        inputs,
        outputs,
        tmp_path / "m.onnx",
        [constant("w", 3, 4), constant("v", 6, 7), constant("k", 2, 3, 2, 2)],
    )
    assert [each.macs for each in audit(path).operators] == [2 * 5 * 4 * 3, 2 * 7 * 6, 2 * 4 * 4 * 3 * 2 * 2]


def test_what_is_wasted(tmp_path):
    from onnx import helper

    nodes = [
        helper.make_node("Transpose", ["x"], ["a"], perm=[1, 0]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[1, 0]),
        helper.make_node("Add", ["w", "w"], ["twice"]),
        helper.make_node("Add", ["b", "twice"], ["y"]),
    ]
    found = audit(saved(nodes, [real("x", [3, 4])], [real("y", [3, 4])], tmp_path / "m.onnx", [constant("w", 3, 4)]))
    assert {each.what: (each.operators, each.at) for each in found.waste} == {
        "two Transpose in a row": (1, "b"),
        "Add of constants only, computed whenever it is opened": (1, "twice"),
    }
    assert found.moves == {"Transpose": 2}


def test_weights_that_are_stored_in_float16(tmp_path):
    from onnx import helper, numpy_helper

    half = numpy_helper.from_array(np.full((3, 4), 0.1, np.float16), "half")
    nodes = [helper.make_node("Cast", ["half"], ["w"], to=1), helper.make_node("MatMul", ["x", "w"], ["y"])]
    found = audit(saved(nodes, [real("x", [2, 3])], [real("y", [2, 4])], tmp_path / "m_fp16.onnx", [half]))
    assert [(each.kind, each.arithmetic, each.stored) for each in found.operators] == [
        ("Cast", "other", ""), ("MatMul", "float", "float16"),
    ]  # fmt: skip
    assert found.is_what_it_claims is True


def test_sizes_that_the_rows_give(tmp_path):
    """What cannot be counted is not counted as if an axis were 1; an open first axis is the batch."""
    from onnx import helper

    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])]
    weights = [constant("w", 4, 3, 3, 3)]
    found = audit(saved(nodes, [real("x", ["n", 3, "h", "w_"])], [real("y", None)], tmp_path / "m.onnx", weights))
    assert (found.macs, found.activation_bytes, found.constant_bytes) == (None, None, 4 * 4 * 27)
    assert found.shares["float"].macs_ratio is None
    assert found.findings[0].startswith("The input 'x' is (any, 3, any, any): how much is multiplied")
    found = audit(saved(nodes, [real("x", ["n", 3, 8, 8])], [real("y", None)], tmp_path / "m.onnx", weights))
    assert found.macs == 8 * 8 * 4 * 27


def test_functions_of_the_file_are_counted(tmp_path):
    from onnx import helper

    node = helper.make_node("MatMul", ["a", "b"], ["c"])
    twice = helper.make_function("own", "Product", ["a", "b"], ["c"], [node], [helper.make_opsetid("", 17)])
    path = saved(
        [helper.make_node("Product", ["x", "w"], ["y"], domain="own")], [real("x", [2, 3])], [real("y", [2, 4])],
        tmp_path / "m.onnx", [constant("w", 3, 4)], domains=["own"], functions=[twice],
    )  # fmt: skip
    found = audit(path)
    assert ([each.kind for each in found.operators], found.macs) == (["MatMul"], 24)


def test_branches_are_listed_and_not_counted(tmp_path):
    from onnx import TensorProto, helper

    def branch(name):
        node = helper.make_node("MatMul", ["x", "w"], [name])
        return helper.make_graph([node], name, [], [real(name, [2, 4])])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("one"), else_branch=branch("two"))
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    path = saved(
        [node], [condition, real("x", [2, 3])], [real("y", [2, 4])], tmp_path / "m.onnx", [constant("w", 3, 4)]
    )
    found = audit(path)
    assert [(each.kind, each.graph, each.macs) for each in found.operators] == [
        ("If", 0, None), ("MatMul", 1, 24), ("MatMul", 2, 24),
    ]  # fmt: skip
    assert found.macs is None
    assert "How much If multiplies is not known: no share of all is given." in found.findings


def test_open_axes_and_operators_of_others(tmp_path):
    from onnx import helper

    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Mine", ["a"], ["y"], domain="org.mine")]
    path = saved(
        nodes,
        [real("x", ["n", 3])],
        [real("y", None)],
        tmp_path / "m.onnx",
        [constant("w", 3, 4)],
        domains=["org.mine"],
    )
    found = audit(path)
    assert found.operators[0].macs == 12
    assert found.inputs[0].shape == (None, 3)
    assert found.needs == "opset 17, IR 8, org.mine"
    assert {each.can for each in found.runs} == {None}
    assert found.activation_bytes is None


def test_an_opset_that_is_too_new(tmp_path):
    from onnx import helper

    path = saved(
        [helper.make_node("Relu", ["x"], ["y"])], [real("x", [1])], [real("y", [1])], tmp_path / "m.onnx", opset=22
    )
    assert [each.can for each in audit(path).runs] == [False, False, False, True, True]


def test_nested_and_huge_and_damaged(tmp_path):
    """A graph in a graph 10,000 times, a size of 2^60, bits flipped: an answer or an error of ours, in time."""
    from onnx import helper

    path, _ = network(tmp_path)
    whole, draw = path.read_bytes(), random.Random(1)
    outcomes = set()
    for _ in range(12):
        data = bytearray(whole)
        for _ in range(4):
            data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(data)
        try:
            outcomes.add(type(audit(path)).__name__)
        except EdgepressError:
            outcomes.add("refused")
    assert outcomes <= {"Audit", "refused"}
    huge = saved(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], [real("x", [2**60, 2**60])], [real("y", [2**60, 4])],
        tmp_path / "huge.onnx", [constant("w", 3, 4)],
    )  # fmt: skip
    assert audit(huge).macs > 2**100
    nested = b"\x2a\x00"
    for _ in range(10_000):  # GraphProto.node.attribute.g
        inner = b"\x32" + varint(len(nested)) + nested
        node = b"\x2a" + varint(len(inner)) + inner
        nested = b"\x0a" + varint(len(node)) + node
    (tmp_path / "nested.onnx").write_bytes(b"\x3a" + varint(len(nested)) + nested)
    with pytest.raises(EdgepressError):
        audit(tmp_path / "nested.onnx")


def varint(number):
    found = b""
    while number >= 128:
        found += bytes([number % 128 | 128])
        number //= 128
    return found + bytes([number])


def test_names_that_are_not_text(tmp_path):
    """Protobuf hands on what is not UTF-8 as bytes."""
    from onnx import helper

    nodes = [helper.make_node("Mine", ["x"], ["yyyy"], domain="zzzz"), helper.make_node("Relu", ["yyyy"], ["y"])]
    path = saved(nodes, [real("x", [2])], [real("y", [2])], tmp_path / "m.onnx", domains=["zzzz"])
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"z\xff\xffz").replace(b"yyyy", b"y\xfe\xffy"))
    found = audit(path)
    assert [each.why for each in found.runs][-1] == "operators of z\ufffd\ufffdz, which must be added to it"


def test_a_users_own_onnx_in_the_working_folder_is_not_taken(tmp_path, monkeypatch):
    path, macs = network(tmp_path)
    (tmp_path / "onnx.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert os.fspath(tmp_path) not in sys.path
    assert audit(path).macs == macs
