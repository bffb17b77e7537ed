"""codebook: few levels in every kernel, training that keeps them, and a container with exactly the weights."""

import numpy as np
import pytest

from pipeline import compress, frameworks
from pipeline.compress.base import Changed
from pipeline.compress.codebooks import container_file
from pipeline.compress.codebooks.tables import rows_of
from pipeline.compress.context import Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.keras_passes import codebook
from pipeline.compress.sparsity.kernels import kernels_of
from pipeline.errors import ModelError, PlanError, PromiseError, StageError
from tests.pipeline.compress.kinds_of_networks import gan_generator, recurrent, transformer
from tests.pipeline.compress.liars import keras_pass, lying
from tests.support.tiny_model import tiny_model


def kernels(model):
    return {kernel.variable.path: np.asarray(kernel.variable) for kernel in kernels_of(model)}


def distinct(kernel, axes=()):
    return max(len(np.unique(row)) for row in rows_of(kernel, axes))


@pytest.fixture
def trained(tiny_folder):
    return frameworks.open_keras(tiny_folder / "tiny.keras")


@pytest.mark.frameworks
@pytest.mark.parametrize("method", ["uniform", "kmeans", "quantile"])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_every_kernel_has_few_levels_and_the_container_has_the_weights(trained, method, granularity, bits):
    applied = compress.apply(trained, "codebook", bits=bits, method=method, granularity=granularity)
    after = applied.changed.model
    for kernel in kernels_of(after):
        axes = kernel.outputs if granularity == "channel" else ()
        assert distinct(np.asarray(kernel.variable), axes) <= 2**bits
    back = container_file.read(applied.changed.container)
    assert len(back) == len(after.weights)
    for variable, values in zip(after.weights, back.values(), strict=True):
        assert np.array_equal(np.asarray(variable), values)
    untouched = [old for old in trained.weights if old.path not in kernels(trained)]
    assert untouched
    assert all(np.array_equal(np.asarray(old), back[old.path]) for old in untouched)
    assert (
        applied.claims["entropy_coded_bytes"] == len(applied.changed.container) <= applied.claims["packed_bytes"] + 100
    )
    assert applied.claims["raw_bytes"] == 4 * trained.count_params()


@pytest.mark.frameworks
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_training_keeps_the_levels_and_wins_accuracy_back(trained, sets, granularity):
    training, (x, y) = Dataset(*sets.training), sets.evaluation
    settings = {"training": training, "bits": 2, "method": "uniform", "granularity": granularity}
    before, after = (
        compress.apply(trained, "codebook", **settings, recover=recover).changed.model
        for recover in (None, {"epochs": 3, "batch_size": 50})
    )
    for old, new in zip(kernels_of(before), kernels_of(after), strict=True):
        axes = old.outputs if granularity == "channel" else ()
        rows = zip(*(rows_of(np.asarray(each.variable), axes) for each in (old, new)), strict=True)
        assert not np.array_equal(np.asarray(old.variable), np.asarray(new.variable))
        for was, now in rows:
            assert all(len(np.unique(now[was == level])) == 1 for level in np.unique(was))  # they share a level still
    accuracy = [frameworks.accuracy(each.predict(x, verbose=0), y) for each in (before, after)]
    assert accuracy[1] > accuracy[0]
    assert accuracy[1] > 0.95
    assert all(kernel.variable.constraint is None for kernel in kernels_of(after))


@pytest.mark.frameworks
def test_a_step_of_gradient_descent_moves_a_level_by_the_mean_of_its_members_gradients():
    import keras

    values = np.array([[0.5, 0.5, 0], [-1, 0.5, 0]], np.float32)
    gradient = np.array([[1, 2, 5], [4, 6, -7]], np.float32)
    kernel = keras.Variable(values)
    kernel.constraint = codebook.sharing(values, np.array([[2, 2, 1], [0, 2, 1]]))
    keras.optimizers.SGD(0.1).apply([keras.ops.array(gradient)], [kernel])
    assert np.allclose(np.asarray(kernel), [[0.2, 0.2, 0], [-1.4, 0.2, 0]])  # 0.5 - 0.1 * (1 + 2 + 6) / 3


@pytest.mark.frameworks
@pytest.mark.parametrize("recover", [None, {"epochs": 1, "batch_size": 50}])
def test_behind_pruning_zeros_stay_zero_and_the_container_is_smaller(trained, sets, recover):
    training = Dataset(*sets.training)
    pruned = compress.apply(trained, "prune_weights", sparsity=0.8).changed.model
    settings = {"training": training, "bits": 4, "recover": recover}
    chain = compress.apply(pruned, "codebook", **settings)
    alone = compress.apply(trained, "codebook", **settings)
    for path, kernel in kernels(pruned).items():
        after = kernels(chain.changed.model)[path]
        assert not after[kernel == 0].any()
        assert distinct(after) <= 16
    assert chain.claims["entropy_coded_bytes"] < 0.7 * alone.claims["entropy_coded_bytes"]
    assert chain.claims["deflated_bytes"] < 0.7 * alone.claims["deflated_bytes"]
    assert "in 3 of 5 kernels one of the levels is zero" in chain.changed.notes


@pytest.mark.frameworks
@pytest.mark.parametrize("network", [recurrent, transformer, gan_generator])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_other_kinds_of_networks_go_through_and_come_back(network, granularity):
    model = network()
    pruned = compress.apply(model, "prune_weights", pattern="2:4").changed.model
    applied = compress.apply(pruned, "codebook", granularity=granularity)
    fresh = network()
    container_file.restore(fresh, applied.changed.container)
    x = np.random.default_rng(0).integers(0, 30, (5, *model.input_shape[1:])).astype(model.inputs[0].dtype)
    expected = applied.changed.model.predict(x, verbose=0)
    assert np.array_equal(fresh.predict(x, verbose=0), expected)
    assert not np.array_equal(model.predict(x, verbose=0), expected)


@pytest.mark.frameworks
def test_some_layers_with_other_bits_and_some_without(trained):
    applied = compress.apply(trained, "codebook", bits=2, bits_of={"hidden": 5}, exclude=["scores"])
    after = kernels(applied.changed.model)
    assert distinct(after["stem/kernel"]) <= 4 < distinct(after["hidden/kernel"]) <= 32
    assert np.array_equal(after["scores/kernel"], kernels(trained)["scores/kernel"])
    with pytest.raises(PlanError, match=r"codebook\.bits_of: the model has no layer 'hiden'") as caught:
        compress.apply(trained, "codebook", bits_of={"hiden": 5})
    assert "'hidden'" in caught.value.hint
    with pytest.raises(PlanError, match="no layer 'x'"):
        compress.apply(trained, "codebook", exclude=["x"])
    with pytest.raises(StageError, match="finds no kernel"):
        compress.apply(trained, "codebook", exclude=list({kernel.layer for kernel in kernels_of(trained)}))


@pytest.mark.frameworks
def test_a_container_of_another_model_is_refused(trained):
    container = compress.apply(trained, "codebook").changed.container
    with pytest.raises(ModelError, match=r"'stem/kernel' have the shape \(3, 3, 1, 8\), and those of recurrent"):
        container_file.restore(recurrent(), container)
    with pytest.raises(ModelError, match="not a whole codebook container"):
        container_file.restore(trained, container[:-9])


@pytest.mark.frameworks
def test_nested_models_may_use_a_name_twice():
    import keras

    image, twin = keras.Input((8, 8, 1)), tiny_model(2)
    twin = keras.Model(twin.input, twin.output, name="twin")
    both = keras.Model(image, keras.layers.Add()([tiny_model(1)(image), twin(image)]))
    assert len({variable.path for variable in both.weights}) < len(both.weights)
    applied = compress.apply(both, "codebook", bits=3)
    fresh = FORMATS["keras"].read_back(FORMATS["keras"].save(both))
    container_file.restore(fresh, applied.changed.container)
    assert all(
        np.array_equal(one, other)
        for one, other in zip(fresh.get_weights(), applied.changed.model.get_weights(), strict=True)
    )


@pytest.mark.frameworks
def test_broken_promises_are_caught():
    liar = lying(ensures=codebook.ensures)
    with pytest.raises(PromiseError, match="a table of layer 'stem' has 72 levels, and not 16"):
        keras_pass(liar, tiny_model(), codebook.Settings())

    def fill(model, *_):
        model.get_layer("hidden").kernel.assign(np.full(model.get_layer("hidden").kernel.shape, 0.5))
        return Changed(model)

    pruned = compress.apply(tiny_model(), "prune_weights", sparsity=0.5).changed.model
    with pytest.raises(PromiseError, match="'hidden' that were zero are no longer zero"):
        keras_pass(lying(apply=fill, ensures=codebook.ensures), pruned, codebook.Settings(bits=8))


def without_one(tensors):
    return tensors[1:]


def renamed(tensors):
    return [tensors[0]._replace(name="other"), *tensors[1:]]


def nudged(tensors):
    return [*tensors[:-1], tensors[-1]._replace(values=tensors[-1].values + np.float32(1e-3))]


def narrowed(tensors):
    return [tensors[0]._replace(values=tensors[0].values.astype(np.float64)), *tensors[1:]]


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_one, r"liar broke its promise: the container holds \d+ weights, and the model has \d+"),
        (renamed, "the container has 'other' in the place of the weights 'stem/kernel'"),
        (nudged, "the container has other values of the weights 'scores/bias' than the model"),
        (narrowed, "the container has other values of the weights 'stem/kernel' than the model"),
    ],
)
def test_the_container_that_is_kept_is_the_one_that_is_checked(change, message):
    def apply(model, settings, context):
        changed = codebook.apply(model, settings, context)
        wrong = container_file.write(change(container_file.tensors(changed.container)))
        return changed._replace(container=wrong)

    with pytest.raises(PromiseError, match=message):
        keras_pass(lying(apply=apply, ensures=codebook.ensures), tiny_model(), codebook.Settings())


@pytest.mark.frameworks
def test_a_container_that_can_not_be_read_is_a_broken_promise():
    def apply(model, settings, context):
        changed = codebook.apply(model, settings, context)
        return changed._replace(container=changed.container[:-1])

    with pytest.raises(PromiseError, match=r"its container cannot be read: .*checksum"):
        keras_pass(lying(apply=apply, ensures=codebook.ensures), tiny_model(), codebook.Settings())


@pytest.mark.frameworks
def test_recalibration_estimates_batch_normalisation_for_the_weights_on_levels(trained, sets):
    settings = {"calibration": Dataset(sets.calibration[0]), "bits": 2}
    plain, better = (
        compress.apply(trained, "codebook", **settings, recalibrate=each).changed for each in (False, True)
    )
    changed = {
        old.path
        for old, new in zip(plain.model.weights, better.model.weights, strict=True)
        if not np.array_equal(old.numpy(), new.numpy())
    }
    assert changed == {"norm/moving_mean", "norm/moving_variance"}
    assert np.array_equal(
        container_file.read(better.container)["norm/moving_mean"], better.model.get_layer("norm").moving_mean
    )
    notes = compress.apply(tiny_model(), "codebook", recalibrate=True).changed.notes
    assert "because there are no rows" in notes[0]
