"""ONNX models as passes get them, and the whole chain over one."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipeline import compress, frameworks
from pipeline.compress.context import Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.onnx_graph.graph import Graph
from pipeline.errors import ModelError, PlanError, StageError
from tests.pipeline.compress.answering import answers, difference
from tests.support.onnx_graphs import GRAPHS, Build, made
from tests.support.tiny_model import through

pytestmark = pytest.mark.frameworks
FORMAT = FORMATS["onnx"]
PLAN = """
seed = 3
[model]
path = "tiny.onnx"
[data]
calibration = "calibration.npz"
evaluation = "evaluation.npz"
[[compress]]
pass = "prune_channels"
ratio = 0.1
round_to = 2
[[compress]]
pass = "equalize"
[[compress]]
pass = "correct_bias"
[[compress]]
pass = "codebook"
bits = 6
"""


@pytest.fixture
def project(tiny, onnx_file):
    (tiny.folder / "tiny.onnx").write_bytes(onnx_file.read_bytes())
    return tiny


# --- the format


@pytest.mark.parametrize("name", GRAPHS)
def test_saving_and_reading_keeps_interface_weights_and_answers(name):
    model, build = made(name)
    again = FORMAT.read_back(FORMAT.save(model))
    assert FORMAT.interface(again) == FORMAT.interface(model)
    assert difference(model, again, build.rows()) == 0
    assert FORMAT.save(again) == FORMAT.save(FORMAT.read_back(FORMAT.save(again)))


def test_constants_may_be_nodes_and_reshaped(tmp_path):
    """As Paddle writes it: every weight a Constant node, and biases that are reshaped on the way."""
    build = Build()
    bias = build.node("Reshape", build.weights(8), build.constant(np.array([1, 8, 1, 1])))
    model = build.model(build.node("Add", build.conv("x", 8, bias=False), bias))
    nodes = [helper.make_node("Constant", [], [each.name], value=each) for each in model.graph.initializer]
    del model.graph.initializer[:]
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, tmp_path / "m.onnx")
    opened = FORMAT.open(tmp_path / "m.onnx", "m.onnx")
    assert [node.op_type for node in opened.graph.node] == ["Conv", "Add"]
    assert difference(model, opened, build.rows()) == 0
    assert sum(values.size for _, values in frameworks.onnx_weights(model)) == 8 * 27 + 8


def test_weights_that_are_listed_as_inputs_too():
    model, build = made("plain")
    values = [
        helper.make_tensor_value_info(each.name, TensorProto.FLOAT, each.dims) for each in model.graph.initializer
    ]
    model.graph.input.extend(values)
    model.ir_version = 3
    opened = FORMAT.read_back(model.SerializeToString())
    assert [value.name for value in opened.graph.input] == ["x"]
    onnx.checker.check_model(opened)
    assert difference(model, opened, build.rows()) == 0


def test_weights_in_a_second_file_are_refused(tmp_path):
    model, _ = made("plain")
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(ModelError, match=r"m\.onnx keeps its weights .* in a second file") as caught:
        FORMAT.open(tmp_path / "m.onnx", "m.onnx")
    assert "onnx.save" in caught.value.hint


def test_what_is_no_onnx_file_and_what_is_no_valid_graph(tmp_path):
    (tmp_path / "m.onnx").write_bytes(made("plain")[0].SerializeToString()[:-100])
    with pytest.raises(ModelError, match=r"m\.onnx cannot be read as ONNX"):
        FORMAT.open(tmp_path / "m.onnx", "m.onnx")
    model, _ = made("plain")
    model.graph.node[0].input[0] = "nowhere"
    with pytest.raises(ModelError, match="not valid ONNX"):
        FORMAT.save(model)


def test_a_loop_may_read_constants_of_the_graph_around_it():
    """Its body counts as a reader: the constant it reads is not changed under it, and not dropped."""
    build = Build(shape=(1, 4))
    shared, zero = build.weights(4, 4), build.constant(np.array(True))
    branches = [
        helper.make_graph(
            [helper.make_node(kind, ["x", shared], [f"{kind}_y"])], kind, [],
            [helper.make_tensor_value_info(f"{kind}_y", TensorProto.FLOAT, None)],
        )
        for kind in ("MatMul", "Gemm")
    ]  # fmt: skip
    chosen = build.node("If", zero, then_branch=branches[0], else_branch=branches[1])
    build.nodes.append(helper.make_node("Add", [chosen, "product"], ["y"]))
    build.nodes.insert(0, helper.make_node("MatMul", ["x", shared], ["product"]))
    graph = Graph(build.model("y"))
    before = graph.value(shared)
    graph.put(graph.nodes[0], 1, before * 2)
    graph.tidy()
    assert np.array_equal(graph.value(shared), before)
    onnx.checker.check_model(graph.model)


def test_layers_whose_weights_or_bias_are_not_plain_are_left_alone():
    """A bias that is computed, a transposed convolution in groups, a Gemm with a factor."""
    build = Build()
    computed = build.node("Relu", build.weights(8))
    x = build.node("Conv", "x", build.weights(8, 3, 1, 1), computed, channels=8)
    x = build.node("ConvTranspose", x, build.weights(8, 2, 2, 2), channels=16, group=8, strides=[2, 2])
    x = build.node("Flatten", build.pool(build.norm(build.conv(x, 16))))
    model = build.model(build.node("Gemm", x, build.weights(16, 4), channels=4, alpha=0.5))
    assert [layer.name for layer in Graph(model).layers()] == ["conv3"]
    given = {"calibration": Dataset(build.rows(16))}
    with pytest.raises(StageError, match="no channel"):
        compress.apply(model, "prune_channels", ratio=0.2, round_to=1, exclude=["conv3"], **given)
    corrected = compress.apply(model, "correct_bias", **given)
    assert corrected.claims["corrected_layers"] == 1
    assert difference(model, corrected.changed.model, build.rows()) < 0.1


def test_multiply_accumulates_are_those_of_the_keras_model(sources):
    keras_model, model = sources("keras"), sources("onnx")
    assert FORMAT.multiply_accumulates(model) == FORMATS["keras"].multiply_accumulates(keras_model)


def test_multiply_accumulates_by_hand():
    build = Build(shape=(1, 4, 8, 8), batch="n")
    x = build.node("ConvTranspose", build.depthwise("x"), build.weights(4, 6, 2, 2), channels=6, strides=[2, 2])
    x = build.node("MatMul", x, build.weights(16, 5))
    x = build.node("ReduceMean", x, axes=[1], keepdims=0)
    x = build.node("LSTM", x, build.weights(1, 32, 5), build.weights(1, 32, 8), hidden_size=8, layout=0)
    model = build.model(x)
    depthwise, transposed, product = 64 * 4 * 9, 64 * 4 * 6 * 4, 6 * 16 * 16 * 5
    recurrent = 1 * (32 * 5 + 32 * 8)  # the batch of 1 stands where the steps are
    assert FORMAT.multiply_accumulates(model) == depthwise + transposed + product + recurrent
    build = Build(batch=1)
    model = build.model(build.conv("x", 8))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert FORMAT.multiply_accumulates(model) is None


# --- the chain


def test_the_whole_chain_over_an_onnx_model(project, sets):
    whole = through(project, PLAN + '[convert]\nformats = ["onnx-fp32", "onnx-int8"]\n')
    reports = whole.compressed.passes
    assert [report.name for report in reports] == ["prune_channels", "equalize", "correct_bias", "codebook"]
    assert whole.loaded.model.parameters == reports[0].parameters_before
    assert reports[0].parameters_after < reports[0].parameters_before
    assert reports[0].multiply_accumulates_after < reports[0].multiply_accumulates_before
    assert reports[3].deflated_after_bytes < reports[3].deflated_before_bytes
    assert reports[3].container.size_bytes < reports[3].raw_after_bytes / 2
    made_of = {(each.variant, each.format): each for each in whole.converted}
    assert set(made_of) >= {("original", "onnx-fp32"), ("compressed", "onnx-fp32"), ("compressed", "onnx-int8")}
    assert made_of["compressed", "onnx-int8"].agreement.accuracy_ratio > 0.9
    kept = onnx.load(project.store.path(whole.compressed.model.artifact))
    found = answers(kept, sets.evaluation[0])
    assert np.mean(found.argmax(1) == sets.evaluation[1]) == whole.compressed.model.accuracy_ratio


def test_without_formats_the_compressed_file_runs_as_it_is_beside_the_original(project):
    whole = through(project, PLAN)
    files = {each.variant: each for each in whole.converted}
    assert set(files) == {"compressed", "original"}
    assert files["compressed"].artifact == whole.compressed.model.artifact
    assert files["original"].artifact == whole.loaded.model.artifact
    assert files["compressed"].agreement.largest_error == 0


@pytest.mark.parametrize("key", ["recover = { epochs = 1 }", "schedule = {}"])
def test_training_is_refused_with_the_way_out(empty, key):
    text = f'[model]\npath = "m.onnx"\n[[compress]]\npass = "prune_weights"\nsparsity = 0.5\n{key}\n'
    with pytest.raises(PlanError, match="an ONNX model cannot be trained here") as caught:
        compress.settings_of(empty.plan(text))
    assert "before exporting it" in caught.value.hint


def test_passes_that_only_train_are_for_keras_models(empty):
    text = '[model]\npath = "m.onnx"\n[[compress]]\npass = "recover"\n'
    with pytest.raises(PlanError, match="no pass 'recover' for onnx models") as caught:
        compress.settings_of(empty.plan(text))
    assert "It works on keras models" in caught.value.hint


def test_copies_leave_the_model_alone():
    model, _ = made("normalised_first")
    before = model.SerializeToString(deterministic=True)
    compress.apply(model, "prune_weights", sparsity=0.5)
    assert model.SerializeToString(deterministic=True) == before
