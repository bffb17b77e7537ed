"""prune_channels on ONNX graphs: the smaller graph is the larger one without the dead channels, and its statistics are set right."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import compress
from pipeline.compress.context import Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.onnx_graph.fold import fold
from pipeline.compress.onnx_graph.graph import Graph, copy_of
from pipeline.compress.onnx_graph.runs import moments, run, shapes_of_run
from pipeline.compress.onnx_passes.prune_channels import Selected, Settings
from pipeline.errors import DataError, PlanError, StageError
from tests.pipeline.compress.answering import answers, difference, looked
from tests.support.onnx_graphs import GRAPHS, Build, made

pytestmark = pytest.mark.frameworks
CHANNELS = {  # of each convolution and matrix product, 25 % taken out in steps of 2
    "plain": [12, 4],
    "residual": [12, 6, 12, 4],
    "depthwise": [6, 12, 4],
    "concat": [6, 12, 4],
    "flatten_gemm": [6, 12, 4],
    "squeeze_and_excite": [12, 6, 12, 4],
    "normalised_first": [12, 12, 4],
    "channels_last": [6, 12, 4],
    "generator": [48, 6, 3],
    "computed_shape": [6, 4],
    "many_activations": [6, 12, 4],
}


def prune(model, rows, seed=0, **given):
    return compress.apply(model, "prune_channels", calibration=Dataset(rows), seed=seed, **given)


def channels(model):
    graph = copy_of(model)
    return [graph.channels(layer) for layer in graph.layers()]


def surgery(model, rows, **given):
    """The cut alone, without the statistics: the pruned model, and the original that does not see the dead channels."""
    graph, masked = copy_of(model), copy_of(model)
    fold(graph)
    fold(masked)
    selected = Selected(graph, shapes_of_run(graph.model, looked(graph.model, rows)), Settings(**given), seed=0)
    selected.mask(masked)
    selected.cut()
    onnx.checker.check_model(graph.model, full_check=True)
    return graph.model, masked.model


@pytest.mark.parametrize("name", GRAPHS)
def test_the_pruned_graph_is_the_original_whose_consumers_do_not_see_the_dead_channels(name):
    model, build = made(name)
    rows = build.rows()
    pruned, masked = surgery(model, rows, ratio=0.25, round_to=2)
    assert channels(pruned) == CHANNELS[name]
    assert difference(masked, pruned, rows) < 1e-5
    assert difference(model, masked, rows) > 1e-4  # something of weight is gone


def test_by_hand():
    """conv - relu - conv: the two weakest of eight channels, cut out with numpy."""
    build = Build()
    model = build.model(build.conv(build.relu(build.conv("x", 8)), 4))
    first, bias, second, last = (onnx.numpy_helper.to_array(each) for each in model.graph.initializer)
    stays = np.sort(np.argsort(np.abs(first).sum((1, 2, 3)))[2:])
    pruned, _ = surgery(model, build.rows(), ratio=0.25, round_to=1)
    values = [onnx.numpy_helper.to_array(each) for each in pruned.graph.initializer]
    for have, want in zip(values, (first[stays], bias[stays], second[:, stays], last), strict=True):
        assert np.array_equal(have, want)


BLOCKS = ("conv", "residual", "depthwise", "concat", "gate", "norm", "pool")


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=6), st.integers(0, 1000), st.sampled_from([0.1, 0.2, 0.25])
)
def test_any_graph_of_these_blocks(blocks, seed, ratio):
    build = Build(seed=seed)
    x = build.relu(build.conv("x", 12))
    for block in blocks:
        size = build.channels[x]
        if block == "conv":
            x = build.relu(build.conv(x, 8 + seed % 9))
        elif block == "residual":
            x = build.node("Add", x, build.conv(build.relu(build.conv(x, 10)), size))
        elif block == "depthwise":
            x = build.depthwise(x, times=1 + seed % 2)
        elif block == "concat":
            x = build.node("Concat", x, build.conv(x, 6), channels=size + 6, axis=1)
        elif block == "gate":
            x = build.node("Mul", x, build.node("Sigmoid", build.conv(build.pool(x), size, kernel=1)))
        elif block == "norm":
            x = build.relu(build.norm(x))
        else:
            x = build.node("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    x = build.node("Flatten", build.pool(x))
    model = build.model(build.gemm(x, build.channels[x], 3))
    pruned, masked = surgery(model, build.rows(), ratio=ratio, round_to=1)
    assert difference(masked, pruned, build.rows()) < 1e-5
    assert sum(channels(pruned)) < sum(channels(model))


def test_unknown_operators_keep_what_they_read_and_the_report_says_so():
    build = Build()
    x = build.node("Softmax", build.conv(build.relu(build.conv("x", 16)), 16), axis=1)
    model = build.model(build.conv(build.relu(build.conv(x, 16)), 4))
    applied = prune(model, build.rows(), ratio=0.25, round_to=1)
    assert channels(applied.changed.model) == [12, 16, 12, 4]
    (note,) = applied.changed.notes
    assert "conv2 (Softmax 'softmax3' reads them)" in note
    assert "conv6 (they are the model's output)" in note


def test_grouped_convolutions_stay_and_constants_that_others_read_too_are_not_touched():
    build = Build()
    shared = build.weights(16, 16, 1, 1)
    x = build.relu(build.conv("x", 16))
    y = build.node("Conv", x, shared, channels=16)
    z = build.node("Conv", build.conv(y, 16, group=4), shared, channels=16)
    model = build.model(build.conv(z, 4))
    pruned, masked = surgery(model, build.rows(), ratio=0.25, round_to=1)
    assert channels(pruned) == [12, 16, 16, 12, 4]
    assert difference(masked, pruned, build.rows()) < 1e-5


def test_excluded_layers_rounding_and_the_least_number_of_channels():
    model, build = made("residual")
    assert channels(prune(model, build.rows(), ratio=0.25, round_to=2, exclude=["conv2"]).changed.model) == [
        12,
        8,
        12,
        4,
    ]
    assert channels(prune(model, build.rows(), ratio=0.25, round_to=1, min_channels=14).changed.model) == [14, 8, 14, 4]
    with pytest.raises(StageError, match=r"no channel to take out .* ratio 0\.2") as caught:
        prune(model, build.rows(), ratio=0.2)
    assert "multiple of round_to = 8" in caught.value.hint
    with pytest.raises(PlanError, match="no node with weights 'conv3'") as caught:
        prune(model, build.rows(), ratio=0.2, exclude=["conv3"])
    assert "Did you mean 'conv" in caught.value.hint


def test_large_ratios_are_refused_with_the_figures():
    model, build = made("plain")
    with pytest.raises(PlanError, match=r"cannot be trained here.*0\.25.*from 90 % to between 38 % and 67 %"):
        prune(model, build.rows(), ratio=0.5)
    with pytest.raises(DataError, match="needs rows") as caught:
        compress.apply(model, "prune_channels", ratio=0.2)
    assert "calibration" in caught.value.hint


def test_random_importance_follows_the_seed():
    model, build = made("plain")
    files = [
        prune(model, build.rows(), seed=seed, ratio=0.25, round_to=2, importance="random").file for seed in (1, 1, 2)
    ]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("name", ["residual", "normalised_first", "channels_last", "depthwise"])
def test_every_layer_has_the_mean_and_the_spread_of_before(name):
    """Independent of how it was done: what the layers answer, rows and places together."""
    model, build = made(name)
    rows = build.rows(32)
    after = copy_of(prune(model, rows, ratio=0.25, round_to=2).changed.model)
    before = copy_of(model)
    fold(before)
    last = [list(each.layers())[-1] for each in (before, after)]
    (was,), (now,) = (
        moments(graph.model, [layer], looked(model, rows)) for graph, layer in zip((before, after), last, strict=True)
    )
    assert np.allclose(was.mean, now.mean, atol=1e-4)
    assert np.allclose(was.deviation, now.deviation, rtol=1e-3)


def test_the_statistics_win_back_what_the_cut_lost(sources, sets):
    """The trained tiny network: its answers come nearer to the original's, on rows that were not used for it."""
    model = sources("onnx")
    rows, (x, y) = sets.calibration[0], sets.evaluation
    cut, _ = surgery(model, rows, ratio=0.25, round_to=1)
    restored = prune(model, rows, ratio=0.25, round_to=1).changed.model
    original, plain, better = (answers(each, x) for each in (model, cut, restored))
    assert np.abs(better - original).mean() < 0.8 * np.abs(plain - original).mean()
    assert np.mean(better.argmax(1) == y) > 0.9
    assert FORMATS["onnx"].multiply_accumulates(restored) < FORMATS["onnx"].multiply_accumulates(model)


def test_outputs_inside_the_graph_can_be_looked_at():
    model, build = made("plain")
    names = [node.output[0] for node in Graph(model).nodes]
    (values,) = run(model, names, looked(model, build.rows(1)))
    assert [each.shape[1] for each in values] == [16, 16, 4]
