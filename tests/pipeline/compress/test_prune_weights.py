"""prune_weights: which weights go, and that they stay away."""

import numpy as np
import pytest

from pipeline import compress, frameworks
from pipeline.compress import training
from pipeline.compress.base import Context, Dataset
from pipeline.compress.formats import layers_of
from pipeline.compress.settings import Recover
from pipeline.errors import DataError, PlanError, StageError
from tests.pipeline.conftest import tiny_model

DENSE = {"depthwise", "scores"}  # depthwise kernels and the last layer


def prune(model, training_rows=None, seed=0, **given):
    applied = compress.apply(model, "prune_weights", training=training_rows, seed=seed, **given)
    return applied.changed.model, applied.claims


def kernels(model):
    return {layer.name: np.asarray(layer.kernel) for layer in layers_of(model) if hasattr(layer, "kernel")}


@pytest.mark.frameworks
def test_half_of_every_layer():
    model = tiny_model()
    after, claims = prune(model, sparsity=0.5)
    for name, kernel in kernels(after).items():
        old = kernels(model)[name]
        if name in DENSE:
            assert np.array_equal(kernel, old)
            continue
        assert np.mean(kernel == 0) == 0.5
        assert np.abs(old[kernel == 0]).max() <= np.abs(old[kernel != 0]).min()
        assert np.array_equal(kernel[kernel != 0], old[kernel != 0])
    assert claims == {
        "sparsity": 0.5, "least_sparsity_of_a_layer": 0.5, "most_sparsity_of_a_layer": 0.5, "pruned_layers": 3.0,
    }  # fmt: skip


@pytest.mark.frameworks
def test_global_scope_has_one_threshold_for_all_layers():
    model = tiny_model()
    after, claims = prune(model, sparsity=0.6, scope="global")
    pruned = {name: kernel for name, kernel in kernels(after).items() if name not in DENSE}
    dropped = np.concatenate([np.abs(kernels(model)[name][kernel == 0]) for name, kernel in pruned.items()])
    kept = np.concatenate([np.abs(kernel[kernel != 0]) for kernel in pruned.values()])
    assert dropped.max() <= kept.min()
    assert claims["sparsity"] == pytest.approx(0.6, abs=1e-3)
    assert claims["least_sparsity_of_a_layer"] < claims["most_sparsity_of_a_layer"]


@pytest.mark.frameworks
def test_excluded_layers_stay_dense_and_must_exist():
    after, claims = prune(tiny_model(), sparsity=0.5, exclude=["stem", "hidden"])
    assert np.count_nonzero(kernels(after)["stem"]) == 72
    assert claims["pruned_layers"] == 1
    with pytest.raises(PlanError, match="no layer 'stemm'") as caught:
        prune(tiny_model(), sparsity=0.5, exclude=["stemm"])
    assert "Did you mean 'stem'?" in caught.value.hint
    with pytest.raises(StageError, match="finds nothing to prune"):
        prune(tiny_model(), sparsity=0.5, exclude=["stem", "pointwise", "hidden"])


@pytest.mark.frameworks
def test_masks_hold_while_the_others_train(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    after, claims = prune(model, Dataset(*sets.training), sparsity=0.7, recover={"epochs": 2, "batch_size": 50})
    untrained, _ = prune(model, sparsity=0.7)
    for name, kernel in kernels(after).items():
        if name not in DENSE:
            assert np.array_equal(kernel == 0, kernels(untrained)[name] == 0)
            assert not np.array_equal(kernel, kernels(untrained)[name])
    assert claims["sparsity"] == pytest.approx(0.7, abs=0.01)
    x, y = sets.evaluation
    accuracy = [frameworks.accuracy(each.predict(x, verbose=0), y) for each in (untrained, after)]
    assert accuracy[1] > 0.9
    assert accuracy[1] >= accuracy[0]


@pytest.mark.frameworks
def test_training_leaves_no_trace_but_the_weights(tiny_folder, sets):
    import keras

    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    model.get_layer("norm").momentum = 0.99
    model.get_layer("hidden").kernel.constraint = keras.constraints.MaxNorm(1.0)
    after, _ = prune(model, Dataset(*sets.training), sparsity=0.5, recover={"batch_size": 50})
    assert after.get_layer("norm").momentum == 0.99
    assert not after.compiled
    assert after.get_config() == model.get_config()
    old, new = (np.asarray(each.get_layer("norm").moving_mean) for each in (model, after))
    assert not np.array_equal(old, new)


@pytest.mark.frameworks
def test_a_frozen_model_recovers_too_and_stays_frozen(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    model.trainable = False
    after, _ = prune(model, Dataset(*sets.training), sparsity=0.5, recover={"batch_size": 50})
    assert not after.get_layer("hidden").trainable
    assert not np.array_equal(kernels(after)["scores"], kernels(model)["scores"])


@pytest.mark.frameworks
def test_a_compiled_model_with_a_loss_of_its_own(tiny_folder, sets, tmp_path):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    model.compile("sgd", loss=lambda y, p: p[:, 0])
    model.save(tmp_path / "m.keras")
    after, _ = prune(frameworks.open_keras(tmp_path / "m.keras"), Dataset(*sets.training), sparsity=0.5, recover={})
    assert not after.compiled


@pytest.mark.frameworks
def test_probabilities_and_logits_are_told_apart(sets):
    model, x = tiny_model(), sets.training[0]
    assert training._answers_probabilities(model, x)
    import keras

    assert not training._answers_probabilities(keras.Model(model.inputs, model.layers[-2].output), x)


@pytest.mark.frameworks
def test_training_without_labels_is_refused(sets):
    with pytest.raises(DataError, match=r"data\.training has none"):
        training.recover(tiny_model(), Recover(), Context(training=Dataset(sets.training[0])))


@pytest.mark.frameworks
def test_nested_models_are_pruned_inside():
    import keras

    inner = tiny_model()
    image = keras.Input((8, 8, 1))
    outer = keras.Model(image, keras.layers.Dense(3)(inner(image)))
    after, claims = prune(outer, sparsity=0.5)
    assert claims["pruned_layers"] == 4  # the inner model's last layer is not the last any more
    assert np.mean(kernels(after)["scores"] == 0) == 0.5
