"""Passes: their settings, their promises, and what pruning really leaves."""

import threading
import types

import msgspec
import numpy as np
import pytest

from pipeline import child, compress, frameworks
from pipeline.compress import PASSES, base, load_pass, prune_weights, training
from pipeline.compress.base import FineTune, PassSettings, Training, apply_pass
from pipeline.errors import ChildError, DataError, PlanError, PromiseError, StageError
from pipeline.progress import Silent
from tests.pipeline.conftest import PLAN, tiny_model

EXAMPLES = {"prune_weights": {"sparsity": 0.4, "fine_tune": {"epochs": 1, "batch_size": 50}}}
MODEL = '[model]\npath = "m.keras"\n'
DENSE = {"depthwise", "scores"}  # depthwise kernels and the last layer


def silent(*_):
    pass


def settings(**given):
    return msgspec.convert(given, prune_weights.Settings)


def prune(model, training_rows=None, seed=0, **given):
    after, _, claims = apply_pass(
        "prune_weights", prune_weights, model, settings(**given), training_rows, silent, seed=seed
    )
    return after, claims


def kernels(model):
    return {layer.name: np.asarray(layer.kernel) for layer in base.layers_of(model) if hasattr(layer, "kernel")}


# --- settings


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("sparsity = 0.5", r"compress\[0\]\.pass: missing key `pass`"),
        ('pass = "prune"', r"compress\[0\]\.pass: there is no pass 'prune'"),
        ('pass = "prune_weights"', r"compress\[0\]: missing key `sparsity`"),
        ('pass = "prune_weights"\nsparsity = 1.0', r"compress\[0\]\.sparsity: expected `float` < 1"),
        ('pass = "prune_weights"\nsparsity = 0.5\nspeed = 1', r"compress\[0\]: unknown key `speed`"),
        ('pass = "prune_weights"\nsparsity = 0.5\nscope = "all"', r"compress\[0\]\.scope: invalid"),
        (
            'pass = "prune_weights"\nsparsity = 0.5\nfine_tune = { epoch = 1 }',
            r"compress\[0\]\.fine_tune: unknown key `epoch`",
        ),
        (
            'pass = "prune_weights"\nsparsity = 0.5\nfine_tune = {}',
            r"fine_tune needs rows to train on, but data\.training",
        ),
    ],
)
def test_wrong_settings(empty, table, message):
    with pytest.raises(PlanError, match=f"(?i){message}") as caught:
        compress.settings_of(empty.plan(f"{MODEL}[[compress]]\n{table}\n"))
    assert caught.value.exit_code == 2
    assert caught.value.hint


@pytest.mark.parametrize("name", ["m.onnx", "m.tflite"])
def test_passes_work_on_keras_models(empty, name):
    text = f'[model]\npath = "{name}"\n[[compress]]\npass = "prune_weights"\nsparsity = 0.5\n'
    with pytest.raises(PlanError, match=f"works on Keras models, not on {name}"):
        compress.settings_of(empty.plan(text))


def test_settings_are_whole_in_the_step(empty):
    (step,) = compress.settings_of(empty.plan(f'{MODEL}[[compress]]\npass = "prune_weights"\nsparsity = 0.5\n'))
    assert step.settings == {"sparsity": 0.5, "scope": "layer", "exclude": [], "fine_tune": None}


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_has_what_a_pass_has(name):
    the_pass = load_pass(name)
    assert issubclass(the_pass.Settings, PassSettings)
    assert the_pass.__doc__
    for function in (the_pass.requires, the_pass.apply, the_pass.ensures):
        assert callable(function)
    for field in msgspec.structs.fields(the_pass.Settings):
        assert field.name != "recover", "the table that makes a pass train is called fine_tune"


@pytest.mark.frameworks
@pytest.mark.parametrize("name", PASSES)
def test_every_pass_keeps_its_promise_and_leaves_its_input_alone(name, tiny_folder, sets):
    the_pass, model = load_pass(name), frameworks.open_keras(tiny_folder / "tiny.keras")
    before = [np.array(weights) for weights in model.weights]
    given = msgspec.convert(EXAMPLES[name], the_pass.Settings)
    after, file, claims = apply_pass(name, the_pass, model, given, Training(*sets.training), silent)
    assert claims
    assert all(isinstance(value, float) for value in claims.values())
    assert all(np.array_equal(old, np.asarray(new)) for old, new in zip(before, model.weights, strict=True))
    assert np.isfinite(after.predict(sets.evaluation[0], verbose=0)).all()
    assert file[:2] == b"PK"


# --- promises


def lying(**functions):
    """A pass that does what it must not do."""
    return types.SimpleNamespace(
        Settings=PassSettings,
        requires=functions.get("requires", lambda model, settings: None),
        apply=functions.get("apply", lambda model, settings, rows, tell: model),
        ensures=functions.get("ensures", lambda before, after, settings: {}),
    )


def with_more_outputs(model, *_):
    import keras

    return keras.Model(model.inputs, keras.layers.Dense(7)(model.outputs[0]))


def with_nan(model, *_):
    model.get_layer("hidden").bias.assign(np.full(12, np.nan))
    return model


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (with_more_outputs, r"liar broke its promise: the output .* was float32 \(4,\) and is now float32 \(7,\)"),
        (with_nan, "liar broke its promise: the weights 'hidden/bias' hold NaN"),
    ],
)
def test_the_base_catches_what_no_pass_may_do(apply, message):
    with pytest.raises(PromiseError, match=message) as caught:
        apply_pass("liar", lying(apply=apply), tiny_model(), PassSettings(), None, silent)
    assert caught.value.exit_code == 5


@pytest.mark.frameworks
def test_sparsity_that_is_claimed_but_not_there():
    liar = lying(ensures=prune_weights.ensures)
    with pytest.raises(
        PromiseError, match=r"liar broke its promise: 36 of 36 pruned weights of layer 'stem' are not zero"
    ):
        apply_pass("liar", liar, tiny_model(), settings(sparsity=0.5), None, silent)


@pytest.mark.frameworks
def test_weights_that_had_to_stay_but_changed():
    def shift(model, *_):
        prune_weights.apply(model, settings(sparsity=0.5), None, silent)
        model.get_layer("scores").bias.assign(np.ones(4))
        return model

    liar = lying(apply=shift, ensures=prune_weights.ensures)
    model = tiny_model()
    model.get_layer("scores").bias.assign(np.full(4, 0.5))
    with pytest.raises(PromiseError, match="weights 'scores/bias' that were to be kept have changed"):
        apply_pass("liar", liar, model, settings(sparsity=0.5), None, silent)


# --- prune_weights


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
    with pytest.raises(StageError, match="no layer 'stemm'") as caught:
        prune(tiny_model(), sparsity=0.5, exclude=["stemm"])
    assert "stem, pointwise, hidden" in caught.value.hint
    with pytest.raises(StageError, match="finds nothing to prune"):
        prune(tiny_model(), sparsity=0.5, exclude=["stem", "pointwise", "hidden"])


@pytest.mark.frameworks
def test_masks_hold_while_the_others_train(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    after, claims = prune(model, Training(*sets.training), sparsity=0.7, fine_tune={"epochs": 2, "batch_size": 50})
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
    after, _ = prune(model, Training(*sets.training), sparsity=0.5, fine_tune={"batch_size": 50})
    assert after.get_layer("norm").momentum == 0.99
    assert not after.compiled
    assert after.get_config() == model.get_config()
    old, new = (np.asarray(each.get_layer("norm").moving_mean) for each in (model, after))
    assert not np.array_equal(old, new)


@pytest.mark.frameworks
def test_a_frozen_model_recovers_too_and_stays_frozen(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    model.trainable = False
    after, _ = prune(model, Training(*sets.training), sparsity=0.5, fine_tune={"batch_size": 50})
    assert not after.get_layer("hidden").trainable
    assert not np.array_equal(kernels(after)["scores"], kernels(model)["scores"])


@pytest.mark.frameworks
def test_a_compiled_model_with_a_loss_of_its_own(tiny_folder, sets, tmp_path):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    model.compile("sgd", loss=lambda y, p: p[:, 0])
    model.save(tmp_path / "m.keras")
    after, _ = prune(frameworks.open_keras(tmp_path / "m.keras"), Training(*sets.training), sparsity=0.5, fine_tune={})
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
        training.fine_tune(tiny_model(), FineTune(), Training(sets.training[0], None), silent)


@pytest.mark.frameworks
def test_nested_models_are_pruned_inside():
    import keras

    inner = tiny_model()
    image = keras.Input((8, 8, 1))
    outer = keras.Model(image, keras.layers.Dense(3)(inner(image)))
    after, claims = prune(outer, sparsity=0.5)
    assert claims["pruned_layers"] == 4  # the inner model's last layer is not the last any more
    assert np.mean(kernels(after)["scores"] == 0) == 0.5


# --- the stage


@pytest.mark.frameworks
def test_the_report_is_what_is_there(whole, sets):
    (report,) = whole.compressed.passes
    store = whole.project.store
    before, after = (
        frameworks.open_keras(store.path(model.artifact)) for model in (whole.loaded.model, whole.compressed.model)
    )
    assert report.parameters_before == report.parameters_after == before.count_params()
    assert report.nonzero_after == sum(int(np.count_nonzero(np.asarray(weights))) for weights in after.weights)
    assert report.deflated_after_bytes < report.deflated_before_bytes
    x, y = sets.evaluation
    assert report.accuracy_after_ratio == np.mean(after.predict(x, verbose=0).argmax(-1) == y)
    assert report.accuracy_before_ratio == whole.loaded.model.accuracy_ratio
    assert report.accuracy_after_ratio == whole.compressed.model.accuracy_ratio
    assert report.seconds > 0
    assert report.settings["fine_tune"]["epochs"] == 1


@pytest.mark.frameworks
def test_the_same_seed_gives_the_same_file_and_another_seed_another(whole, tiny):
    def artifact(text):
        the_plan = tiny.plan(text)
        steps = compress.settings_of(the_plan)
        return compress.compress(whole.loaded, steps, the_plan, whole.project.store, Silent())

    again, cached = artifact(PLAN)
    assert (again, cached) == (whole.compressed, True)
    other, cached = artifact(PLAN.replace("seed = 3", "seed = 4"))
    assert not cached
    assert other.model.artifact != again.model.artifact
    for answer in (whole.project.store.root / "answers").glob("compress-*"):
        answer.unlink()
    anew, cached = artifact(PLAN)
    assert not cached
    assert anew.model.artifact == whole.compressed.model.artifact


@pytest.mark.frameworks
def test_a_killed_child_leaves_nothing(tiny):
    text = PLAN.replace("epochs = 1", "epochs = 500")
    loaded, _ = tiny.load(text)
    the_plan = tiny.plan(text)
    training_began = threading.Event()

    class Kill(Silent):
        def step(self, done, of, note):
            if done > 3:
                training_began.set()
                child.kill_all()

    with pytest.raises(
        ChildError, match=r"compressing tiny \(prune_weights\) failed: its process was killed by SIGKILL"
    ):
        compress.compress(loaded, compress.settings_of(the_plan), the_plan, tiny.store, Kill())
    assert training_began.is_set()
    assert not list(tiny.store.tmp.iterdir())
    assert not list((tiny.store.root / "answers").glob("compress-*"))
