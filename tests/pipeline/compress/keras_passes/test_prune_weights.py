"""prune_weights: which weights go, and that they stay away."""

import numpy as np
import pytest

from pipeline import compress, frameworks
from pipeline.compress.base import Changed, apply_pass
from pipeline.compress.context import Context, Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.formats.keras_model import layers_of
from pipeline.compress.keras_passes import prune_weights
from pipeline.compress.settings import Recover
from pipeline.compress.sparsity.kernels import prunable_kernels
from pipeline.compress.sparsity.masks import Pattern, keeps_pattern
from pipeline.compress.sparsity.schedules import Schedule
from pipeline.errors import PlanError, PromiseError, StageError
from tests.pipeline.compress.kinds_of_networks import gan_generator, recurrent, transformer
from tests.pipeline.compress.liars import keras_pass, lying
from tests.support.tiny_model import tiny_model

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
        "sparsity": 0.5, "least_sparsity_of_a_layer": 0.5, "most_sparsity_of_a_layer": 0.5, "pruned_kernels": 3.0,
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
    assert claims["pruned_kernels"] == 1
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
def test_nested_models_are_pruned_inside():
    import keras

    inner = tiny_model()
    image = keras.Input((8, 8, 1))
    outer = keras.Model(image, keras.layers.Dense(3)(inner(image)))
    after, claims = prune(outer, sparsity=0.5)
    assert claims["pruned_kernels"] == 4  # the inner model's last layer is not the last any more
    assert np.mean(kernels(after)["scores"] == 0) == 0.5


@pytest.mark.frameworks
def test_a_threshold_takes_what_is_below_it():
    model = tiny_model()
    after, _ = prune(model, alpha=0.3)
    for name in ("stem", "pointwise", "hidden"):
        old, new = np.abs(kernels(model)[name]), kernels(after)[name]
        assert np.array_equal(new == 0, old < np.float32(0.3) * old.max())


@pytest.mark.frameworks
def test_two_of_four_in_every_kernel():
    after, claims = prune(tiny_model(), pattern="2:4")
    for kernel in prunable_kernels(after):
        assert keeps_pattern(np.asarray(kernel.variable), Pattern(2, 4), kernel.inputs)
    assert claims["most_sparsity_of_a_layer"] == 0.5
    assert claims["least_sparsity_of_a_layer"] == 0  # the stem has one input channel


@pytest.mark.frameworks
def test_random_pruning_is_drawn_by_the_seed():
    model = tiny_model()
    one, again, other = (prune(model, seed=seed, sparsity=0.5, method="random")[0] for seed in (1, 1, 2))
    assert np.array_equal(kernels(one)["hidden"], kernels(again)["hidden"])
    assert not np.array_equal(kernels(one)["hidden"], kernels(other)["hidden"])
    assert np.mean(kernels(one)["hidden"] == 0) == 0.5


@pytest.mark.frameworks
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_pruned_little_by_little_it_keeps_what_training_made_large(tiny_folder, sets, scope):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    settings = {"sparsity": 0.8, "scope": scope, "recover": {"epochs": 4, "batch_size": 50}}
    gradual, claims = prune(model, Dataset(*sets.training), **settings, schedule={"frequency": 3})
    at_once, _ = prune(model, Dataset(*sets.training), **settings)
    assert claims["sparsity"] == pytest.approx(0.8, abs=0.01)
    assert not np.array_equal(kernels(gradual)["hidden"] == 0, kernels(at_once)["hidden"] == 0)
    x, y = sets.evaluation
    assert frameworks.accuracy(gradual.predict(x, verbose=0), y) > 0.9


@pytest.mark.frameworks
def test_a_stopped_schedule_goes_on_where_it_was(tiny_folder, sets, tmp_path):
    """The training is broken off in its third epoch; what it ends with is what it would have ended with."""
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    settings = prune_weights.Settings(
        sparsity=0.8, schedule=Schedule(frequency=5), recover=Recover(epochs=4, batch_size=60)
    )

    def pruned(folder, most_steps):
        def tell(done, of, note):
            if done >= most_steps:
                raise KeyboardInterrupt

        context = Context(training=Dataset(*sets.training), tell=tell, resume=folder, seed=5)
        return apply_pass("prune_weights", prune_weights, model, settings, context, FORMATS["keras"]).changed.model

    whole = pruned(None, 10**9)
    with pytest.raises(KeyboardInterrupt):
        pruned(tmp_path, 20)  # told behind the second epoch, after that was kept
    assert list(tmp_path.iterdir())
    for one, other in zip(whole.get_weights(), pruned(tmp_path, 10**9).get_weights(), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.frameworks
@pytest.mark.parametrize("network", [recurrent, transformer, gan_generator])
def test_other_kinds_of_networks_go_through(network):
    model = network()
    after, claims = prune(model, sparsity=0.6)
    assert claims["sparsity"] == pytest.approx(0.6, abs=0.01)
    x = np.random.default_rng(0).integers(0, 30, (3, *model.input_shape[1:])).astype(model.inputs[0].dtype)
    assert np.isfinite(after.predict(x, verbose=0)).all()


@pytest.mark.frameworks
def test_a_recurrent_network_stays_pruned_while_it_trains(sets):
    x, y = sets.training
    after, claims = prune(recurrent(), Dataset(x[..., 0], y), sparsity=0.6, recover={"epochs": 1, "batch_size": 60})
    assert claims["sparsity"] == pytest.approx(0.6, abs=0.01)
    assert not np.array_equal(after.get_weights()[0], recurrent().get_weights()[0])


@pytest.mark.frameworks
def test_it_is_said_beforehand_what_zeros_do_not_do():
    said = []
    applied = compress.apply(tiny_model(), "prune_weights", sparsity=0.5, tell=lambda done, of, note: said.append(note))
    assert said == list(applied.changed.notes)
    assert "13.5 KiB of weights stay that" in said[0]
    assert "do not make it faster" in said[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "one of sparsity, alpha and pattern must be given, not none"),
        ({"sparsity": 0.5, "pattern": "2:4"}, "not sparsity and pattern"),
        ({"pattern": "4:2"}, "prunes nothing"),
        ({"pattern": "two of four"}, "matching regex"),
        ({"pattern": "2:4", "scope": "global"}, "the same in every layer"),
        ({"alpha": 0.1, "method": "random"}, "a threshold of magnitudes"),
        ({"alpha": 0.1, "schedule": {}, "recover": {}}, "alpha has none"),
        ({"sparsity": 0.5, "schedule": {}}, "give recover too"),
    ],
)
def test_settings_that_contradict_each_other(given, message):
    with pytest.raises(PlanError, match=message):
        compress.apply(None, "prune_weights", **given)


@pytest.mark.frameworks
def test_a_schedule_that_the_training_is_too_short_for(sets):
    with pytest.raises(PlanError, match="ends at step 50, but the training has 11 steps"):
        prune(
            tiny_model(), Dataset(*sets.training), sparsity=0.5, recover={"batch_size": 50}, schedule={"end_step": 50}
        )


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (prune_weights.Settings(pattern="2:4", method="random"), "layer 'pointwise' does not have the pattern 2:4"),
        (prune_weights.Settings(sparsity=0.5, method="random"), "0 weights of 'stem' are zero, and 36 had to be"),
        (prune_weights.Settings(sparsity=0.5, method="random", scope="global"), "'all layers together' are zero"),
    ],
)
def test_broken_promises_are_caught(settings, message):
    with pytest.raises(PromiseError, match=message):
        keras_pass(lying(ensures=prune_weights.ensures), tiny_model(), settings)


@pytest.mark.frameworks
def test_a_bias_that_became_zero_is_a_broken_promise():
    def also_the_bias(model, *_):
        prune_weights.apply(model, prune_weights.Settings(sparsity=0.5), Context())
        model.get_layer("hidden").bias.assign(np.zeros(12))
        return Changed(model)

    model = tiny_model()
    model.get_layer("hidden").bias.assign(np.ones(12))
    with pytest.raises(PromiseError, match="'hidden/bias' that were to be kept have changed"):
        keras_pass(
            lying(apply=also_the_bias, ensures=prune_weights.ensures), model, prune_weights.Settings(sparsity=0.5)
        )
