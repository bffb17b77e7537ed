"""Passes in general: their settings, their promises, and the chain of them."""

import threading

import msgspec
import numpy as np
import pytest

from pipeline import child, compress, frameworks
from pipeline.compress.base import Changed
from pipeline.compress.context import Context, Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.keras_passes import prune_weights
from pipeline.compress.settings import PassSettings
from pipeline.compress.sparsity.kernels import kernels_of
from pipeline.compress.table import PASSES, load_pass
from pipeline.errors import ChildError, PlanError, PromiseError
from pipeline.progress import Silent
from tests.pipeline.compress import kinds_of_networks
from tests.pipeline.compress.answering import answers
from tests.pipeline.compress.examples import EXAMPLES
from tests.pipeline.compress.liars import keras_pass, lying
from tests.support.tiny_model import PLAN, tiny_model

MODEL = '[model]\npath = "m.keras"\n'
SETTINGS = prune_weights.Settings(sparsity=0.5)
EVERY = [(kind, name) for kind, passes in PASSES.items() for name in passes]


# --- settings


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("sparsity = 0.5", r"compress\[0\]\.pass: missing key `pass`"),
        ('pass = "prune"', r"compress\[0\]\.pass: there is no pass 'prune'"),
        ('pass = "prune_weights"', r"compress\[0\]: one of sparsity, alpha and pattern must be given"),
        ('pass = "prune_weights"\nsparsity = 1.0', r"compress\[0\]\.sparsity: expected `float` < 1"),
        ('pass = "prune_weights"\nsparsity = 0.5\nspeed = 1', r"compress\[0\]: unknown key `speed`"),
        ('pass = "prune_weights"\nsparsity = 0.5\nscope = "all"', r"compress\[0\]\.scope: invalid"),
        (
            'pass = "prune_weights"\nsparsity = 0.5\nrecover = { epoch = 1 }',
            r"compress\[0\]\.recover: unknown key `epoch`",
        ),
        (
            'pass = "prune_weights"\nsparsity = 0.5\nrecover = {}',
            r"recover needs rows to train on, but data\.training",
        ),
    ],
)
def test_wrong_settings(empty, table, message):
    with pytest.raises(PlanError, match=f"(?i){message}") as caught:
        compress.settings_of(empty.plan(f"{MODEL}[[compress]]\n{table}\n"))
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_tflite_files_are_not_compressed(empty):
    text = '[model]\npath = "m.tflite"\n[[compress]]\npass = "prune_weights"\nsparsity = 0.5\n'
    with pytest.raises(PlanError, match="there are no passes for tflite models") as caught:
        compress.settings_of(empty.plan(text))
    assert "keras" in caught.value.hint


def test_settings_are_whole_in_the_step(empty):
    (step,) = compress.settings_of(empty.plan(f'{MODEL}[[compress]]\npass = "prune_weights"\nsparsity = 0.5\n'))
    assert step.settings["sparsity"] == 0.5
    assert step.settings["scope"] == "layer"


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_pass_has_what_a_pass_has(kind, name):
    the_pass = load_pass(kind, name)
    assert issubclass(the_pass.Settings, PassSettings)
    assert the_pass.__doc__
    for function in (the_pass.requires, the_pass.apply, the_pass.ensures):
        assert callable(function)
    for field in msgspec.structs.fields(the_pass.Settings):
        assert field.name != "fine_tune", "the table that makes a pass train is called recover"


@pytest.mark.frameworks
@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_pass_keeps_its_promise_and_leaves_its_input_alone(kind, name, sources, sets):
    model_format, model = FORMATS[kind], sources(kind)
    before = [np.array(values) for _, values in model_format.weights(model)]
    training, calibration, evaluation = (Dataset(*rows) for rows in sets)
    applied = compress.apply(
        model, name, training=training, calibration=calibration, evaluation=evaluation, **EXAMPLES[kind, name]
    )
    assert all(isinstance(value, float) for value in applied.claims.values())
    now = [values for _, values in model_format.weights(model)]
    assert all(np.array_equal(old, new) for old, new in zip(before, now, strict=True))
    after = model_format.read_back(applied.file)
    assert np.isfinite(answers(after, sets.evaluation[0])).all()


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["sensitivity", "half_precision"])
@pytest.mark.parametrize("kind", ["recurrent", "transformer", "gan_generator", "sequential"])
def test_passes_take_other_kinds_of_networks_too(kind, name):
    model = getattr(kinds_of_networks, kind)()
    x = kinds_of_networks.rows_of(model)
    before = [np.array(weight) for weight in model.get_weights()]
    applied = compress.apply(model, name, training=Dataset(x, None), **EXAMPLES["keras", name])
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))
    after = FORMATS["keras"].read_back(applied.file)
    np.testing.assert_allclose(answers(after, x), answers(model, x), atol=5e-3)
    assert FORMATS["keras"].multiply_accumulates(after) == FORMATS["keras"].multiply_accumulates(model) > 0
    if name == "sensitivity":
        kernels = {kernel.layer for kernel in kernels_of(model)}
        assert kernels
        assert {one.part for one in applied.changed.sensitivity if one.change == "quantize"} == kernels


# --- promises


def with_more_outputs(model, *_):
    import keras

    return Changed(keras.Model(model.inputs, keras.layers.Dense(7)(model.outputs[0])))


def with_nan(model, *_):
    model.get_layer("hidden").bias.assign(np.full(12, np.nan))
    return Changed(model)


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (with_more_outputs, r"liar broke its promise: the output was .* float32 \(4,\) and is now .* float32 \(7,\)"),
        (with_nan, "liar broke its promise: the weights 'hidden/bias' hold NaN"),
    ],
)
def test_the_base_catches_what_no_pass_may_do(apply, message):
    with pytest.raises(PromiseError, match=message) as caught:
        keras_pass(lying(apply=apply), tiny_model(), PassSettings())
    assert caught.value.exit_code == 5


@pytest.mark.frameworks
def test_sparsity_that_is_claimed_but_not_there():
    liar = lying(ensures=prune_weights.ensures)
    with pytest.raises(
        PromiseError, match=r"liar broke its promise: 36 of 36 pruned weights of layer 'stem' are not zero"
    ):
        keras_pass(liar, tiny_model(), SETTINGS)


@pytest.mark.frameworks
def test_weights_that_had_to_stay_but_changed():
    def shift(model, *_):
        prune_weights.apply(model, SETTINGS, Context())
        model.get_layer("scores").bias.assign(np.ones(4))
        return Changed(model)

    liar = lying(apply=shift, ensures=prune_weights.ensures)
    model = tiny_model()
    model.get_layer("scores").bias.assign(np.full(4, 0.5))
    with pytest.raises(PromiseError, match="weights 'scores/bias' that were to be kept have changed"):
        keras_pass(liar, model, SETTINGS)


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
    assert report.settings["recover"]["epochs"] == 1


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
