"""Inputs and outputs of ONNX models: what they are, which cannot be given, which may be a state."""

import re

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.frameworks import onnx_file, onnx_signature
from pipeline.frameworks.onnx_signature import (
    Signature,
    Value,
    refusal,
    signature,
    state_candidates,
    suggestion,
)

pytestmark = pytest.mark.frameworks


def tensor(name, shape, dtype="FLOAT"):
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, getattr(TensorProto, dtype), shape)


def model(inputs, outputs, nodes=(), constants=(), *, ir=8, opset=17):
    from onnx import helper

    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def value(name, shape, dtype="float32", kind="tensor"):
    return Value(name, kind, dtype, shape)


def test_names_shapes_and_types():
    proto = model(
        [tensor("a", ["batch", 3, None, "unk__8"], "FLOAT16"), tensor("b", [], "INT64"), tensor("c", None, "BOOL")],
        [tensor("y", ["?", 0, -1], "DOUBLE"), tensor("z", ["", "*"], "UINT8")],
    )
    found = signature(proto)
    assert found.inputs == (
        value("a", ("batch", 3, None, None), "float16"),
        value("b", (), "int64"),
        value("c", None, "bool"),
    )
    assert found.outputs == (value("y", (None, None, None), "float64"), value("z", (None, None), "uint8"))


def test_onnx_runtime_names_the_same(tmp_path):
    import onnx
    import onnxruntime
    from onnx import helper

    nodes = [helper.make_node("Add", ["a", "b"], ["y"]), helper.make_node("Cast", ["y"], ["z"], to=7)]
    proto = model(
        [tensor("b", ["N", 4]), tensor("a", ["N", 4])], [tensor("z", None, "INT64"), tensor("y", None)], nodes
    )
    onnx.save(proto, tmp_path / "m.onnx")
    session, found = onnxruntime.InferenceSession(tmp_path / "m.onnx"), signature(proto)
    assert [each.name for each in found.inputs] == [each.name for each in session.get_inputs()] == ["b", "a"]
    for ours, theirs in zip(found.outputs, session.get_outputs(), strict=True):
        assert (ours.name, list(ours.shape)) == (theirs.name, theirs.shape)


def test_initializers_are_no_inputs():
    """IR version 3 lists them as inputs, too."""
    from onnx import helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((4, 2), np.float32), "w")
    indices = numpy_helper.from_array(np.array([0, 2]), "indices")
    proto = model(
        [tensor("x", [1, 4]), tensor("w", [4, 2]), tensor("few", [4])], [tensor("y", [1, 2])],
        [helper.make_node("MatMul", ["x", "w"], ["y"])], [weights], ir=3,
    )  # fmt: skip
    few = numpy_helper.from_array(np.ones(2, np.float32), "few")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(few, indices, [4]))
    assert [each.name for each in signature(proto).inputs] == ["x"]


def test_outputs_that_say_nothing_are_worked_out():
    from onnx import helper

    silent = helper.make_empty_tensor_value_info("y")
    proto = model([tensor("x", ["N", 3, 4])], [silent], [helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0, 2])])
    assert signature(proto).outputs == (value("y", (3, "N", 4)),)


def test_outputs_that_nothing_tells_stay_unknown():
    from onnx import helper

    silent = helper.make_empty_tensor_value_info("y")
    own = model([tensor("x", [1])], [silent], [helper.make_node("Mine", ["x"], ["y"], domain="mine")])
    broken = model([tensor("x", [1])], [silent], [helper.make_node("Relu", ["x"], ["y"])])
    del broken.opset_import[:]
    for proto in (own, broken):
        (output,) = signature(proto).outputs
        assert (output.kind, output.shape) == ("unknown", None)
        assert refusal(output, "output") == "nothing in the file says the type of the output 'y'"


def test_what_cannot_be_rows():
    from onnx import TensorProto, helper

    text = helper.make_tensor_type_proto(TensorProto.STRING, [1])
    number = helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
    infos = {
        "words": text,
        "many": helper.make_sequence_type_proto(number),
        "maybe": helper.make_optional_type_proto(helper.make_sequence_type_proto(number)),
        "table": helper.make_map_type_proto(TensorProto.INT64, number),
        "few": helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, [9]),
        "short": helper.make_tensor_type_proto(TensorProto.BFLOAT16, [1]),
        "small": helper.make_tensor_type_proto(TensorProto.INT4, [1]),
        "pairs": helper.make_tensor_type_proto(TensorProto.COMPLEX64, [1]),
        "newer": helper.make_tensor_type_proto(99, [1]),
        "fine": number,
    }
    found = signature(model([helper.make_value_info(name, kind) for name, kind in infos.items()], []))
    said = {each.name: refusal(each, "input") for each in found.inputs}
    assert said == {
        "words": "the input 'words' is text, and only numbers can be given and compared",
        "many": "the input 'many' is a sequence, and only tensors can be given and compared",
        "maybe": "the input 'maybe' is an optional value, and only tensors can be given and compared",
        "table": "the input 'table' is a map, and only tensors can be given and compared",
        "few": "the input 'few' is a sparse tensor, and only tensors can be given and compared",
        "short": "the input 'short' holds bfloat16, which numpy has no numbers for",
        "small": "the input 'small' holds int4, which numpy has no numbers for",
        "pairs": "the input 'pairs' holds complex64, which numpy has no numbers for",
        "newer": "the input 'newer' holds type 99, which numpy has no numbers for",
        "fine": None,
    }
    by_name = {each.name: each for each in found.inputs}
    assert (by_name["many"].dtype, by_name["maybe"].dtype) == ("float32", "float32")


def test_where_to_cut_is_said():
    whole = Signature((value("x", (1, 4)),), (value("label", (1,), "string"), value("scores", (1, 3))))
    hint = onnx_signature.cut_hint([whole.outputs[0]], whole)
    assert "onnx.utils.extract_model('model.onnx', 'cut.onnx', ['x'], ['scores'])" in hint
    assert "[inputs], [outputs]" in onnx_signature.cut_hint([whole.inputs[0]], whole)


def classifier(tmp_path, *, text):
    """What skl2onnx makes of a linear classifier, as it comes: a label, and a map from class to score for each row."""
    import onnx
    from onnx import TensorProto, helper

    classes = {"classlabels_strings": ["a", "b", "c"]} if text else {"classlabels_ints": [0, 1, 2]}
    keys = {"classlabels_strings": ["a", "b", "c"]} if text else {"classlabels_int64s": [0, 1, 2]}
    kind = TensorProto.STRING if text else TensorProto.INT64
    linear = helper.make_node(
        "LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", post_transform="SOFTMAX",
        coefficients=[1.0, -1.0, 0.5, 0.2, 0.1, 0.3], intercepts=[0.0, 0.1, 0.2], **classes,
    )  # fmt: skip
    zipped = helper.make_node("ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", **keys)
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(kind, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    graph = helper.make_graph(
        [linear, zipped], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("label", kind, [None]), helper.make_value_info("maps", maps)],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.mark.parametrize(("text", "left"), [(False, ["label", "scores"]), (True, ["scores"])])
def test_a_classifier_of_scikit_learn_is_cut_where_its_scores_are_numbers(tmp_path, monkeypatch, text, left):
    import onnx

    path = classifier(tmp_path, text=text)
    with pytest.raises(
        ModelError, match="the output 'label' is text" if text else "the output 'maps' is a sequence"
    ) as raised:
        onnx_file.Onnx(path, "model.onnx")
    hint = raised.value.hint
    assert "options={'zipmap': False}" in hint
    call = re.search(r"onnx\.utils\.extract_model\(.*?\)", hint)[0]
    monkeypatch.chdir(tmp_path)
    exec(call, {"onnx": onnx})  # what the hint says must work
    assert [each.name for each in onnx_file.Onnx(tmp_path / "cut.onnx", "cut.onnx").outputs] == left


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        (("input", "state", "sr"), ("output", "stateN"), {"state": "stateN"}),
        (("input", "h", "c"), ("output", "hn", "cn"), {"h": "hn", "c": "cn"}),
        (("x", "h0", "c0"), ("y", "hn", "cn"), {"h0": "hn", "c0": "cn"}),
        (("x", "h_in"), ("y", "h_out"), {"h_in": "h_out"}),
        (("x", "hiddenIn"), ("y", "hiddenOut"), {"hiddenIn": "hiddenOut"}),
        (("ids", "past_key_values.0.key", "past_key_values.0.value"), ("logits", "present.0.key", "present.0.value"),
         {"past_key_values.0.key": "present.0.key", "past_key_values.0.value": "present.0.value"}),
        (("x", "state"), ("y", "state_1"), {"state": "state_1"}),
        (("x", "mask"), ("y", "scores"), {}),
        (("image",), ("image_out",), {}),  # the only input is what drives the model
        (("input", "other"), ("output", "third"), {}),
        (("x", "h", "h0"), ("y", "hn"), {}),  # one output cannot be the next value of both
        (("x", "h"), ("y", "hn", "h_out"), {}),
    ],
)  # fmt: skip
def test_what_may_be_a_state_by_its_name(inputs, outputs, expected):
    whole = Signature(
        tuple(value(name, (2, "batch", 8)) for name in inputs), tuple(value(name, (2, None, 8)) for name in outputs)
    )
    assert state_candidates(whole) == expected


@pytest.mark.parametrize(
    "output",
    [value("hn", (2, 1, 9)), value("hn", (2, 1)), value("hn", (2, 1, 8), "float16"), value("hn", (2, 1, 8), kind="sequence")],
)  # fmt: skip
def test_a_state_keeps_its_type_and_shape(output):
    assert state_candidates(Signature((value("x", (1, 4)), value("h", (2, 1, 8))), (output,))) == {}


def test_a_state_is_only_suggested():
    assert suggestion({}) is None
    assert suggestion({"state": "stateN"}) == (
        "By its name, 'stateN' looks like the next value of the input 'state': if that is so, add to [model]: "
        'state = { "state" = "stateN" }'
    )
    assert "By their names, 'hn', 'cn' look like the next values of the inputs 'h', 'c'" in suggestion(
        {"h": "hn", "c": "cn"}
    )
    assert len(suggestion({f"{'h' * 90}{i}": f"{'n' * 90}{i}" for i in range(50)})) <= 600
