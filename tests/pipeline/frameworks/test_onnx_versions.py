"""Opsets and IR versions: what is raised or lowered answers as before, or is refused."""

import numpy as np
import pytest

from pipeline.convert import onnx_fp32
from pipeline.errors import StageError
from pipeline.frameworks import onnx_versions
from tests.support.tiny_model import through

pytestmark = pytest.mark.frameworks
ROWS = np.random.default_rng(8).normal(size=(6, 3, 7, 7)).astype(np.float32)


def model(nodes, constants=(), *, opset=9, ir=6, domains=None, functions=(), shape=(1, 3, 7, 7)):
    """Nodes from x to y. With IR 3 the constants are inputs, too, as it asks for."""
    from onnx import TensorProto, helper, numpy_helper

    tensors = [numpy_helper.from_array(np.asarray(values), name) for name, values in dict(constants).items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    if ir < 4:
        inputs += [helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in tensors]
    graph = helper.make_graph(
        list(nodes), "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], tensors
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*each) for each in (domains or {}).items())]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir, functions=list(functions))


def node(kind, *inputs, output="y", **attributes):
    from onnx import helper

    return helper.make_node(kind, ["x", *inputs], [output], **attributes)


def largest_difference(tmp_path, before, after, rows=ROWS):
    for name, proto in (("before", before), ("after", after)):
        (tmp_path / name).write_bytes(proto.SerializeToString())
    feeds = [{"x": rows[i : i + 1]} for i in range(len(rows))]
    return onnx_versions.check_same(tmp_path / "before", tmp_path / "after", feeds, "m.onnx")


SCALES = {"s": np.float32([1, 1, 2, 1.5])}
OLD = {
    "clip": ([("Clip", (), {"min": -0.1, "max": 0.1})], {}),
    "softmax": ([("Softmax", (), {"axis": 1})], {}),
    "pad": ([("Pad", (), {"pads": [0, 0, 1, 1, 0, 0, 1, 1]})], {}),
    "slice": ([("Slice", (), {"starts": [1], "ends": [3], "axes": [2]})], {}),
    "convolution": ([("Conv", ("w",), {})], {"w": np.ones((2, 3, 3, 3), np.float32)}),
    "nearest": ([("Upsample", ("s",), {"mode": "nearest"})], SCALES),
    "linear": ([("Upsample", ("s",), {"mode": "linear"})], SCALES),
}


@pytest.mark.parametrize("ir", [3, 6])
@pytest.mark.parametrize("name", OLD)
def test_an_old_model_answers_as_before(tmp_path, name, ir):
    nodes, constants = OLD[name]
    before = model([node(kind, *inputs, **attributes) for kind, inputs, attributes in nodes], constants, ir=ir)
    after = onnx_versions.raised(before, "m.onnx", 13, "onnx-int8")
    assert (onnx_versions.opset_of(before), onnx_versions.opset_of(after)) == (9, 17)
    assert largest_difference(tmp_path, before, after) < 1e-6
    assert [each.name for each in after.graph.input] == ["x"]
    assert after.ir_version == max(ir, 4)


@pytest.mark.parametrize("scale", [2.0, 1.5, 0.5, 0.7])
def test_linear_resizing_of_opset_10_stays(tmp_path, scale):
    before = model([node("Resize", "s", mode="linear")], {"s": np.float32([1, 1, scale, scale])}, opset=10)
    assert largest_difference(tmp_path, before, onnx_versions.raised(before, "m", 13, "onnx-int8")) < 1e-6


def test_what_the_converter_changes_is_refused(tmp_path):
    """Hardmax took the rest of the axes as one before opset 13; the version converter of onnx 1.23 says nothing."""
    before = model([node("Hardmax", axis=1)])
    after = onnx_versions.raised(before, "m.onnx", 13, "onnx-int8")
    with pytest.raises(StageError, match=r"in a newer opset m\.onnx answers otherwise: .* 1$") as caught:
        largest_difference(tmp_path, before, after)
    assert "opset_version=17" in caught.value.hint


def test_what_does_not_run_is_refused(tmp_path):
    before = model([node("Relu")], opset=17)
    after = model([node("Gelu", domain="nobody")], opset=17, domains={"nobody": 1})
    with pytest.raises(StageError, match=r"m\.onnx cannot be run in a newer opset: "):
        largest_difference(tmp_path, before, after)
    with pytest.raises(StageError, match="the largest difference is inf"):
        largest_difference(tmp_path, before, model([node("Flatten")], opset=17))


def test_what_is_no_number_on_both_sides_is_the_same(tmp_path):
    same = model([node("Log")], opset=17)
    assert largest_difference(tmp_path, same, same) == 0


def test_functions_are_kept(tmp_path):
    """The version converter drops them, and leaves the nodes that call them."""
    from onnx import helper

    inner = [helper.make_node("Clip", ["a"], ["c"], min=0.0), helper.make_node("Add", ["c", "a"], ["b"])]
    function = helper.make_function("mine", "Twice", ["a"], ["b"], inner, [helper.make_opsetid("", 10)])
    before = model(
        [node("Twice", domain="mine")], opset=10, ir=8, domains={"mine": 1, "ai.onnx.ml": 2}, functions=[function]
    )
    after = onnx_versions.raised(before, "m", 13, "onnx-int8")
    assert largest_difference(tmp_path, before, after) == 0
    assert [each.domain for each in after.opset_import] == [""]


def test_other_domains_stay_as_they_are(tmp_path):
    nodes = [node("Gelu", domain="com.microsoft", output="t"), node("Softmax", axis=1)]
    nodes[1].input[:] = ["t"]
    before = model(nodes, opset=11, domains={"com.microsoft": 1})
    after = onnx_versions.raised(before, "m", 13, "onnx-int8")
    assert ("com.microsoft", 1) in [(each.domain, each.version) for each in after.opset_import]
    assert after.graph.node[0] == before.graph.node[0]
    assert largest_difference(tmp_path, before, after) < 1e-6


def test_a_new_model_is_not_touched():
    before = model([node("Relu")], opset=13)
    assert onnx_versions.raised(before, "m", 13, "onnx-int8") is before
    without = model([node("Gelu", domain="com.microsoft")], domains={"com.microsoft": 1})
    del without.opset_import[0]
    assert onnx_versions.raised(without, "m", 13, "onnx-int8") is without


def test_an_opset_that_cannot_be_raised(monkeypatch):
    from onnx import version_converter

    def refuses(*_):
        raise RuntimeError("no adapter")

    monkeypatch.setattr(version_converter, "convert_version", refuses)
    with pytest.raises(
        StageError, match=r"m is of opset 9, onnx-int8 needs 13 or later, and it cannot be raised: no adapter"
    ) as caught:
        onnx_versions.raised(model([node("Relu")]), "m", 13, "onnx-int8")
    assert "opset_version=17" in caught.value.hint


def test_domains_that_nothing_uses_are_stripped():
    from onnx import TensorProto, helper

    info = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("Gelu", ["x"], ["z"], domain="com.microsoft")], "then", [], [info])
    branch = helper.make_node("If", ["on"], ["y"], then_branch=body, else_branch=body)
    proto = model([branch], {"on": True}, opset=17, domains={"com.microsoft": 1, "ai.onnx.ml": 5, "nobody": 1})
    onnx_versions.strip_unused_opsets(proto)
    assert [each.domain for each in proto.opset_import] == ["", "com.microsoft"]


@pytest.mark.parametrize(
    ("release", "opset", "ir", "opened"),
    [
        ((1, 12, 1), 17, 8, True), ((1, 11), 17, 8, None), ((1, 12), 18, 8, False), ((1, 12), 17, 9, False),
        ((1, 15), 19, 9, None), ((1, 16), 19, 9, True), ((1, 18), 19, 9, True), ((1, 10), 21, 9, False), ((1, 40), 28, 14, True),
        ((1, 40), 99, 8, None), ((1, 32), 29, 8, False),
    ],
)  # fmt: skip
def test_what_a_release_opens_is_said_only_where_it_was_measured(release, opset, ir, opened):
    assert onnx_versions.opens(release, opset, ir) is opened


def test_this_host_opens_what_the_table_says():
    import onnxruntime

    release = [int(part) for part in onnxruntime.__version__.split(".")[:2]]
    for _, opset, ir in onnx_versions.OPENS:
        if onnx_versions.opens(release, opset, ir):
            onnxruntime.InferenceSession(model([node("Relu")], opset=opset, ir=ir).SerializeToString())


def test_a_release_that_refuses_is_named():
    proto = model([node("Relu")], opset=17, ir=10)
    assert onnx_versions.refusal(proto, "1.16.3") == (
        "ONNX Runtime 1.16.3 does not open IR version 10; onnx-fp32 writes the same model with IR version 8"
    )
    assert "export it with opset_version=17" in onnx_versions.refusal(model([node("Relu")], opset=20), "1.16.3")
    assert onnx_versions.refusal(proto, "1.32.0") is None
    assert onnx_versions.refusal(proto, "unknown") is None


def test_the_ir_version_is_lowered_where_nothing_is_newer(tmp_path):
    proto, before = (model([node("Relu")], opset=18, ir=12) for _ in range(2))
    assert onnx_versions.lower_ir(proto)
    assert proto.ir_version == 8
    assert largest_difference(tmp_path, before, proto) == 0
    low = model([node("Relu")], ir=6)
    assert onnx_versions.lower_ir(low)
    assert low.ir_version == 6


@pytest.mark.parametrize(
    ("kind", "lowest"), [("float8", 9), ("int4", 10), ("overload", 10), ("cast", 9), ("default", 9), ("devices", 11)]
)
def test_what_is_newer_keeps_its_ir_version(kind, lowest):
    from onnx import TensorProto, helper

    proto = model([node("Relu")], opset=21, ir=13)
    if kind in ("float8", "int4"):
        dtype = TensorProto.FLOAT8E4M3FN if kind == "float8" else TensorProto.INT4
        proto.graph.initializer.append(helper.make_tensor("w", dtype, [2], [1, 2]))
    elif kind == "overload":
        proto.graph.node[0].overload = "another"
    elif kind == "cast":
        proto.graph.node.append(node("Cast", to=TensorProto.FLOAT8E5M2, output="small"))
    elif kind == "default":
        proto.functions.add(name="f", domain="mine").attribute_proto.add(name="alpha", f=1.0)
    else:
        proto.configuration.add(name="two", num_devices=2)
    assert onnx_versions.lowest_ir(proto) == lowest
    assert not onnx_versions.lower_ir(proto)
    assert proto.ir_version == 13
    assert onnx_versions.lower_ir(proto, lowest)


# --- through the pipeline


def project(empty, proto):
    import onnx

    onnx.save(proto, empty.folder / "m.onnx")
    np.savez(empty.folder / "c.npz", x=ROWS)
    np.savez(empty.folder / "e.npz", x=ROWS[::-1] + 0.1)
    return '[model]\npath = "m.onnx"\n[data]\ncalibration = "c.npz"\nevaluation = "e.npz"\n[convert]\nformats = ["onnx-int8"]\n'


def test_int8_of_an_old_model_with_a_function_opens_everywhere(empty):
    import onnx
    from onnx import helper

    generator = np.random.default_rng(2)
    inner = [helper.make_node("Clip", ["a"], ["c"], min=0.0), helper.make_node("Conv", ["c", "v"], ["b"])]
    function = helper.make_function("mine", "Second", ["a", "v"], ["b"], inner, [helper.make_opsetid("", 10)])
    nodes = [node("Conv", "w1", output="h"), helper.make_node("Second", ["h", "w2"], ["y"], domain="mine")]
    constants = {name: generator.normal(size=(3, 3, 3, 3)).astype(np.float32) for name in ("w1", "w2")}
    proto = model(nodes, constants, opset=10, ir=8, domains={"mine": 1}, functions=[function])
    int8, reference = through(empty, project(empty, proto)).converted
    made = onnx.load(empty.store.path(int8.artifact))
    assert int8.agreement.error_rms < 0.1 * int8.agreement.spread
    assert [(each.domain, each.version) for each in made.opset_import] == [("", 17)]
    assert made.ir_version <= 8
    assert "the model was raised from opset 10 to 17, and gave the same answers for calibration rows" in int8.notes
    assert reference.agreement.largest_error < 1e-5
    assert reference.notes == ()


def test_int8_of_a_model_that_would_change_is_refused(empty):
    nodes = [node("Conv", "w", output="h"), node("Hardmax", axis=1)]
    nodes[1].input[:] = ["h"]
    proto = model(nodes, {"w": np.ones((3, 3, 3, 3), np.float32)})
    with pytest.raises(StageError, match=r"in a newer opset m answers otherwise"):
        through(empty, project(empty, proto))


def test_fp32_of_a_newer_ir_version_opens_in_older_runtimes(empty):
    import onnx

    text = project(empty, model([node("Relu")], opset=17, ir=12)).replace("onnx-int8", "onnx-fp32")
    made = through(empty, text).converted[0]
    assert onnx.load(empty.store.path(made.artifact)).ir_version == 8
    assert (made.agreement.largest_error, made.notes) == (0, ())


def test_fp32_of_any_other_file_is_the_file():
    data = model([node("Relu")], opset=17, ir=8).SerializeToString()
    assert onnx_fp32._openable(data) is data
    newer = model([node("Cast", to=17)], opset=19, ir=9).SerializeToString()
    assert onnx_fp32._openable(newer) is newer
