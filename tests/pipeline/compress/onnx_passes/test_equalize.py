"""equalize and correct_bias: what they keep, what they change, and that both together save an int8 model."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pipeline import compress
from pipeline.compress.context import Dataset
from pipeline.compress.onnx_graph.fold import fold, scale_outputs
from pipeline.compress.onnx_graph.graph import Graph, copy_of
from pipeline.compress.onnx_graph.runs import moments
from pipeline.compress.onnx_passes import correct_bias, equalize
from pipeline.errors import DataError, PlanError, StageError
from tests.pipeline.compress.answering import answers, difference, looked
from tests.support.onnx_graphs import GRAPHS, Build, made

pytestmark = pytest.mark.frameworks


def stressed(model, seed=0):
    """The same function, with ranges that 8 bits cannot serve: channels between two layers are scaled by 2^U(-4, 4)."""
    graph, draw = copy_of(model), np.random.default_rng(seed)
    fold(graph)
    pairs, _ = equalize.pairs_of(graph, equalize.Settings())
    for pair in pairs:
        factor = 2.0 ** draw.uniform(-4, 4, graph.channels(pair.first))
        scale_outputs(graph, pair.first, factor)
        equalize.scale_inputs(graph, pair, 1 / factor)
    return graph.model


@pytest.mark.parametrize(
    "name", ["plain", "residual", "depthwise", "flatten_gemm", "channels_last", "many_activations"]
)
def test_outputs_stay_and_ranges_become_equal(name):
    model, build = made(name)
    before = stressed(model)
    applied = compress.apply(before, "equalize")
    after = applied.changed.model
    assert difference(model, before, build.rows()) < 1e-5
    assert difference(model, after, build.rows()) < 1e-5
    assert len(after.graph.node) <= len(model.graph.node)
    assert applied.claims["equalized_pairs"] >= 1
    assert applied.claims["largest_range_ratio_after"] < applied.claims["largest_range_ratio_before"]


def test_by_hand():
    """Two 1x1 convolutions: ranges 8 and 2 become 4 and 4, ranges 1 and 9 become 3 and 3; the bias goes along."""
    build = Build(shape=(1, 1, 2, 2))
    first = build.constant(np.array([8.0, -1.0]).reshape(2, 1, 1, 1), "first")
    x = build.node("Conv", "x", first, build.constant(np.array([4.0, 6.0]), "bias"), channels=2)
    second = build.constant(np.array([2.0, 9.0]).reshape(1, 2, 1, 1), "second")
    model = build.model(build.node("Conv", build.relu(x), second, channels=1))
    after = compress.apply(model, "equalize").changed.model
    values = {each.name: numpy_helper.to_array(each).ravel() for each in after.graph.initializer}
    assert np.allclose(values["first"], [4, -3])
    assert np.allclose(values["bias"], [2, 18])
    assert np.allclose(values["second"], [4, 3])


def test_a_clip_between_two_layers_is_left_and_told():
    build = Build()
    x = build.node("Clip", build.conv("x", 8), build.constant(np.float32(0)), build.constant(np.float32(6)))
    x = build.relu(build.conv(x, 8))
    model = build.model(build.conv(x, 4))
    applied = compress.apply(model, "equalize")
    assert applied.claims["equalized_pairs"] == 1
    assert applied.changed.notes == (
        "Not equalized, because ReLU6 or another Clip follows, which does not scale: conv0.",
    )
    with pytest.raises(StageError, match="no two layers") as caught:
        compress.apply(model, "equalize", exclude=["conv2"])
    assert "conv0" in caught.value.hint


def test_what_is_read_twice_or_mixed_is_left():
    """The residual block has one pair inside; the matrix product behind a convolution sums over its columns, not its channels."""
    model, _ = made("residual")
    assert compress.apply(model, "equalize").claims["equalized_pairs"] == 1
    build = Build()
    x = build.node("MatMul", build.relu(build.conv("x", 8)), build.weights(8, 8))
    with pytest.raises(StageError, match="no two layers"):
        compress.apply(build.model(x), "equalize")
    with pytest.raises(PlanError, match="no node with weights 'conf0'"):
        compress.apply(model, "equalize", exclude=["conf0"])


@pytest.mark.parametrize("name", GRAPHS)
def test_folding_keeps_the_outputs(name):
    model, build = made(name)
    graph = copy_of(model)
    fold(graph)
    assert difference(model, graph.model, build.rows()) < 1e-5


def test_folding_leaves_what_others_read_and_normalisation_without_a_convolution():
    build = Build()
    x = build.norm(build.conv("x", 8, bias=False))
    y = build.conv(x, 8)
    model = build.model(build.norm(build.relu(build.node("Add", build.norm(y), y))))
    graph = copy_of(model)
    fold(graph)
    assert [node.op_type for node in graph.nodes].count("BatchNormalization") == 2
    assert difference(model, graph.model, build.rows()) < 1e-5


# --- correct_bias


def correct(model, rows, **given):
    return compress.apply(model, "correct_bias", calibration=Dataset(rows), **given)


@pytest.mark.parametrize("per_channel", [True, False])
def test_the_bias_takes_back_exactly_the_mean_error_of_rounding(per_channel):
    """One convolution, computed with numpy: a 1x1 kernel sums over channels."""
    build = Build(shape=(1, 3, 4, 4))
    model = build.model(build.conv("x", 5, kernel=1))
    rows = build.rows(20) + 1
    used, _ = correct_bias._split(rows, 0)
    assert len(used) == 18
    weight, bias = (numpy_helper.to_array(each) for each in model.graph.initializer)
    largest = np.abs(weight).max(axis=(1, 2, 3) if per_channel else None, keepdims=True)
    rounded = np.round(weight / largest * 7) * largest / 7  # 4 bits: -7 to 7
    mean = used.mean(axis=(0, 2, 3))
    after = correct(model, rows, bits=4, per_channel=per_channel).changed.model
    want = bias + ((weight - rounded)[:, :, 0, 0] * mean).sum(1)
    same, have = (numpy_helper.to_array(each) for each in after.graph.initializer)
    assert np.array_equal(same, weight)
    assert np.allclose(have, want, atol=1e-5)
    assert not np.allclose(have, bias, atol=1e-3)


def test_the_last_layer_of_the_rounded_network_has_the_mean_of_the_exact_one():
    model, build = made("channels_last")
    rows = build.rows(32) + 0.5
    used = looked(model, correct_bias._split(rows, 0)[0])
    settings = correct_bias.Settings(bits=4)
    after = correct(model, rows, bits=4).changed.model

    def shift(biases):
        graph = copy_of(biases)
        for layer in graph.layers():
            graph.put(layer.node, 1, correct_bias.quantized(graph.weight(layer), layer, settings))
        (exact,) = moments(model, list(Graph(model).layers())[-1:], used)
        (found,) = moments(graph.model, list(graph.layers())[-1:], used)
        return np.abs(found.mean - exact.mean).max()

    assert shift(after) < 1e-4 < 10 * 1e-4 < shift(model)


def test_no_node_is_added_and_what_has_no_place_for_a_bias_is_told():
    build = Build()
    x = build.node("Flatten", build.pool(build.relu(build.conv("x", 8, bias=False))))
    model = build.model(build.node("Softmax", build.node("MatMul", x, build.weights(8, 4))))
    applied = correct(model, build.rows(16), bits=4)
    after = applied.changed.model
    assert [node.op_type for node in after.graph.node] == [node.op_type for node in model.graph.node]
    assert len(after.graph.node[0].input) == 3
    assert "none can be put in: matmul4" in applied.changed.notes[0]
    assert applied.claims["corrected_layers"] == 1


@pytest.mark.parametrize("offset", [0.5, -40.0])
def test_a_correction_that_makes_it_worse_is_taken_back(offset, monkeypatch):
    """The rows that compare are others than those that the means are of."""
    model, build = made("plain")
    rows = build.rows(40) + 0.5
    rows[correct_bias._split(np.arange(40), 0)[1]] += offset - 0.5
    found = correct(model, rows, bits=3)
    before, after = (
        float(part.split()[0])
        for part in found.changed.notes[-2 if offset > 0 else -1].split(" was ")[1].split(" and ")
    )
    assert (after > before) is (offset < 0)
    assert (found.claims["largest_correction"] == 0) is (offset < 0)
    assert any("the biases are left as they were" in note for note in found.changed.notes) is (offset < 0)


def test_without_rows_it_says_what_is_missing():
    with pytest.raises(DataError, match="correct_bias needs rows"):
        compress.apply(made("plain")[0], "correct_bias")


# --- both together


def int8_answers(model, rows, x, folder):
    """ONNX Runtime's own quantizer, one scale for each tensor."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.feeds = iter([{model.graph.input[0].name: rows[i : i + 1]} for i in range(len(rows))])

        def get_next(self):
            return next(self.feeds, None)

    onnx.save(model, folder / "float.onnx")
    quantize_static(
        folder / "float.onnx", folder / "int8.onnx", Reader(), quant_format=QuantFormat.QDQ, per_channel=False,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    return answers(onnx.load(folder / "int8.onnx"), x)


def test_they_win_back_what_a_scale_for_each_tensor_loses(sources, sets, tmp_path):
    """As measured for data-free quantization: the stressed network is the same in floating point and broken in 8 bits."""
    original, rows, (x, y) = sources("onnx"), sets.calibration[0], sets.evaluation
    exact = answers(original, x)

    def of_int8(model):
        found = int8_answers(model, rows, x, tmp_path)
        return np.abs(found - exact).mean(), np.mean(found.argmax(1) == y)

    broken = stressed(original)
    assert np.abs(answers(broken, x) - exact).max() < 1e-4
    corrected = correct(broken, rows, per_channel=False).changed.model
    both = correct(compress.apply(broken, "equalize").changed.model, rows, per_channel=False).changed.model
    errors, accuracies = zip(*map(of_int8, (original, broken, corrected, both)), strict=True)
    assert accuracies[1] < accuracies[0] - 0.1
    assert accuracies[3] > accuracies[0] - 0.02
    assert errors[3] < 0.2 * errors[1]
    assert accuracies[2] > accuracies[1] + 0.1
