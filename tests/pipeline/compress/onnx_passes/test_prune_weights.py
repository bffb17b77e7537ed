"""prune_weights and codebook on ONNX graphs: which constants change, and how."""

import numpy as np
import pytest
from onnx import numpy_helper

from pipeline import compress
from pipeline.compress.base import apply_pass
from pipeline.compress.codebooks import container_file
from pipeline.compress.context import Context, Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.onnx_graph.graph import Graph, copy_of
from pipeline.compress.onnx_graph.kernels import kernels_of
from pipeline.compress.onnx_graph.runs import run
from pipeline.compress.onnx_passes import codebook, prune_weights
from pipeline.compress.sparsity.masks import Pattern, keeps_pattern
from pipeline.errors import ModelError, PlanError, PromiseError, StageError
from tests.pipeline.compress.answering import answers, looked
from tests.pipeline.compress.liars import lying
from tests.support.onnx_graphs import Build, made

pytestmark = pytest.mark.frameworks


def constants(model):
    return {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}


def recurrent():
    """Two convolutions that share a kernel, an LSTM, a matrix product."""
    build = Build(shape=(1, 4, 8, 8))
    shared = build.weights(4, 4, 1, 1)
    x = build.node("Conv", build.depthwise(build.node("Conv", "x", shared, channels=4)), shared, channels=4)
    x = build.node("Reshape", x, build.constant(np.array([4, 1, 64])))
    x = build.node("LSTM", x, build.weights(1, 32, 64), build.weights(1, 32, 8), hidden_size=8)
    return build.model(build.gemm(build.node("Reshape", x, build.constant(np.array([1, 32]))), 32, 4))


def test_kernels_of_every_kind_once():
    graph = copy_of(recurrent())
    assert [(kernel.layer, kernel.kind) for kernel in kernels_of(graph)] == [
        ("conv0", "dense"), ("conv1", "depthwise"), ("lstm4", "dense"), ("lstm4", "dense"), ("gemm6", "dense"),
    ]  # fmt: skip
    assert len(kernels_of(graph, last=False)) == 4


def test_half_of_every_kernel_but_depthwise_and_the_last():
    model = recurrent()
    applied = compress.apply(model, "prune_weights", sparsity=0.5)
    old, new = constants(model), constants(applied.changed.model)
    pruned = {kernel.constant for kernel in kernels_of(copy_of(model), last=False) if kernel.kind == "dense"}
    assert len(pruned) == 3
    assert list(old) == list(new)
    for name, before in old.items():
        after = new[name]
        if name in pruned:
            assert np.mean(after == 0) == 0.5
            assert np.abs(before[after == 0]).max() <= np.abs(before[after != 0]).min()
        assert np.array_equal(after[after != 0], before[after != 0])
    assert applied.claims["sparsity"] == 0.5
    assert applied.claims["pruned_kernels"] == 3
    assert "do not make the file smaller by themselves" in applied.changed.notes[0]


@pytest.mark.parametrize("name", ["residual", "channels_last", "generator"])
def test_a_pattern_lies_along_the_inputs(name):
    model, _ = made(name)
    graph = copy_of(compress.apply(model, "prune_weights", pattern="2:4").changed.model)
    for kernel in kernels_of(graph, last=False):
        values = graph.value(kernel.constant)
        assert keeps_pattern(values, Pattern(2, 4), kernel.inputs)
        inputs = values.shape[kernel.inputs[0]]
        assert np.mean(values == 0) == (0.5 if inputs % 4 == 0 else pytest.approx(0.33, abs=0.01))  # 3 inputs: 1 goes


def test_threshold_scope_and_random():
    model, _ = made("residual")
    graph = copy_of(compress.apply(model, "prune_weights", alpha=0.5).changed.model)
    for kernel in kernels_of(graph, last=False):
        values = np.abs(graph.value(kernel.constant))
        assert values[values > 0].min() >= 0.5 * values.max()
    together = compress.apply(model, "prune_weights", sparsity=0.6, scope="global")
    assert together.claims["sparsity"] == pytest.approx(0.6, abs=1e-3)
    assert together.claims["least_sparsity_of_a_layer"] < together.claims["most_sparsity_of_a_layer"]
    files = [
        compress.apply(model, "prune_weights", sparsity=0.6, method="random", seed=seed).file for seed in (1, 1, 2)
    ]
    assert files[0] == files[1] != files[2]


def with_a_weak_layer():
    """Of the smallest weights of all, so that a global threshold takes all of it."""
    model, _ = made("residual")
    graph = Graph(model)
    weak = kernels_of(graph, last=False)[1]
    graph.replace(weak.constant, graph.value(weak.constant) * np.float32(1e-4))
    return model, weak.layer


@pytest.mark.parametrize(
    "given",
    [{"sparsity": 0.999}, {"sparsity": 0.5, "scope": "global"}, {"alpha": 0.1, "scope": "global"},
     {"sparsity": 0.9999, "method": "random"}],
)  # fmt: skip
def test_no_kernel_loses_all_its_weights(given):
    model, weak = with_a_weak_layer()
    layer = weak if "scope" in given else kernels_of(copy_of(model))[0].layer
    with pytest.raises(
        StageError, match=rf"prune_weights would set all [\d,]+ weights of a kernel of '{layer}'"
    ) as caught:
        compress.apply(model, "prune_weights", **given)
    assert f"exclude = ['{layer}']" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sparsity": 0.5}, "pruned weights of layer '.*' are not zero"),
        ({"sparsity": 0.5, "method": "random"}, r"0 weights of '.*' are zero, and [\d,]+ had to be"),
        ({"sparsity": 0.5, "method": "random", "scope": "global"}, "0 weights of 'all layers together' are zero"),
        ({"pattern": "2:4", "method": "random"}, "does not have the pattern 2:4"),
    ],
)
def test_a_graph_that_was_not_pruned_is_a_broken_promise(given, message):
    settings = prune_weights.Settings(**given)
    with pytest.raises(PromiseError, match=message):
        apply_pass(
            "liar", lying(ensures=prune_weights.ensures), made("residual")[0], settings, Context(), FORMATS["onnx"]
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "one of sparsity, alpha and pattern"),
        ({"sparsity": 0.5, "alpha": 0.5}, "one of sparsity, alpha and pattern"),
        ({"pattern": "4:2"}, "prunes nothing"),
        ({"sparsity": 0.5, "exclude": ["conv9"]}, "no node with a kernel 'conv9'"),
        ({"sparsity": 0.5, "recover": {"epochs": 1}}, r"prune_weights\.recover: an ONNX model cannot be trained here"),
    ],
)
def test_wrong_settings(given, message):
    with pytest.raises(PlanError, match=message) as caught:
        compress.apply(made("plain")[0], "prune_weights", **given)
    assert caught.value.hint


def test_a_graph_without_kernels():
    build = Build()
    model = build.model(build.relu("x"))
    with pytest.raises(StageError, match="nothing to prune"):
        compress.apply(model, "prune_weights", sparsity=0.5)
    with pytest.raises(StageError, match="finds no kernel"):
        compress.apply(model, "codebook")


@pytest.mark.parametrize("method", ["uniform", "kmeans", "quantile"])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_codebook(method, granularity):
    model = compress.apply(recurrent(), "prune_weights", sparsity=0.5).changed.model
    applied = compress.apply(model, "codebook", bits=3, method=method, granularity=granularity, bits_of={"conv0": 2})
    old, new = constants(model), constants(applied.changed.model)
    for kernel in kernels_of(copy_of(model)):
        values = new[kernel.constant]
        tables = values.transpose(*kernel.outputs, *(a for a in range(values.ndim) if a not in kernel.outputs))
        size = int(np.prod([values.shape[axis] for axis in kernel.outputs])) if granularity == "channel" else 1
        for table in tables.reshape(size, -1):
            assert len(np.unique(table)) <= (4 if kernel.layer == "conv0" else 8)
        assert np.all(values[old[kernel.constant] == 0] == 0)
        del old[kernel.constant]
    for name, values in old.items():
        assert np.array_equal(new[name], values)
    assert applied.claims["most_values_of_a_table"] <= 8


def test_the_container_gives_the_same_graph_back():
    model = recurrent()
    applied = compress.apply(model, "codebook", bits=4)
    weights = sum(values.nbytes for _, values in FORMATS["onnx"].weights(model))
    assert len(applied.changed.container) < weights / 4
    found = container_file.read(applied.changed.container)
    for name, values in FORMATS["onnx"].weights(applied.changed.model):
        assert np.array_equal(found[name], values)
    assert applied.claims["raw_bytes"] == weights
    assert applied.claims["entropy_coded_bytes"] == len(applied.changed.container)
    assert applied.claims["entropy_coded_bytes"] <= applied.claims["packed_bytes"] < weights / 4
    assert applied.claims["deflated_bytes"] < applied.claims["packed_bytes"]
    codebook.restore(model, applied.changed.container)
    for name, values in constants(applied.changed.model).items():
        assert np.array_equal(constants(model)[name], values)
    with pytest.raises(ModelError, match="which the graph does not have"):
        codebook.restore(made("plain")[0], applied.changed.container)


def test_a_container_of_other_weights_is_a_broken_promise():
    other = compress.apply(recurrent(), "codebook", bits=2).changed.container

    def apply(model, settings, context):
        return codebook.apply(model, settings, context)._replace(container=other)

    with pytest.raises(PromiseError, match="the container has other values of the weights"):
        apply_pass("codebook", lying(apply=apply), recurrent(), codebook.Settings(bits=3), Context(), FORMATS["onnx"])


# --- statistics


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("prune_weights", {"sparsity": 0.7}),
        ("codebook", {"bits": 2, "granularity": "channel"}),
        ("codebook", {"bits": 3, "granularity": "channel", "method": "uniform"}),
    ],
)
def test_the_statistics_win_back_what_was_lost(name, given, sources, sets):
    """On rows that were not used for it. Zeros and levels stay: `ensures` looks, and here the container is not much larger."""
    model, rows, x = sources("onnx"), Dataset(sets.calibration[0]), sets.evaluation[0]
    plain = compress.apply(model, name, calibration=rows, recalibrate=False, **given).changed
    better = compress.apply(model, name, calibration=rows, **given).changed
    errors = [np.abs(answers(each.model, x) - answers(model, x)).mean() for each in (plain, better)]
    assert errors[1] < 0.8 * errors[0]
    assert len(better.model.graph.node) == len(plain.model.graph.node)
    if name == "codebook":
        assert len(better.container) < 1.1 * len(plain.container)


@pytest.mark.parametrize(("name", "given"), [("prune_weights", {"sparsity": 0.6}), ("codebook", {"bits": 2})])
def test_batch_normalisation_is_estimated_anew_and_the_kernel_before_it_keeps_its_values(name, given):
    build = Build()
    x = build.norm(build.conv(build.conv("x", 8), 16))
    model, rows = build.model(build.gemm(build.node("Flatten", x), 16 * 64, 4)), build.rows(40) + 1
    plain, better = (
        compress.apply(model, name, calibration=Dataset(rows), recalibrate=each, **given).changed.model
        for each in (False, True)
    )
    kernel = kernels_of(copy_of(model))[1].constant
    assert np.array_equal(constants(plain)[kernel], constants(better)[kernel])
    assert not np.array_equal(constants(plain)[kernel], constants(model)[kernel])
    exact, lost, found = (
        np.stack([values[0][0].reshape(16, -1) for values in run(each, [x], looked(each, rows))])
        for each in (model, plain, better)
    )
    assert np.abs(lost.mean((0, 2)) - exact.mean((0, 2))).max() > 0.01
    assert np.allclose(found.mean((0, 2)), exact.mean((0, 2)), atol=1e-4)
    assert np.allclose(found.std((0, 2)), exact.std((0, 2)), rtol=1e-3)


def test_what_is_not_recalibrated(sources, sets):
    model, rows = sources("onnx"), Dataset(sets.calibration[0])
    assert "no rows" in compress.apply(model, "prune_weights", sparsity=0.5).changed.notes[1]
    one_table = [compress.apply(model, "codebook", calibration=rows, recalibrate=each).file for each in (True, False)]
    assert one_table[0] == one_table[1]
    names = [kernel.layer for kernel in kernels_of(copy_of(model))]
    kept = compress.apply(model, "prune_weights", calibration=rows, sparsity=0.5, exclude=names[2:]).changed.model
    for kernel in kernels_of(copy_of(model))[2:]:
        assert np.array_equal(constants(kept)[kernel.constant], constants(model)[kernel.constant])
