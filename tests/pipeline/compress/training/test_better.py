"""A training's end beside its beginning: the better weights are kept, the promise too, and it is said."""

import numpy as np
import pytest

from pipeline import compress, frameworks
from pipeline.compress import training
from pipeline.compress.context import Context, Dataset
from pipeline.compress.settings import Recover
from pipeline.compress.training import objective
from tests.support.tiny_model import rows, tiny_model

pytestmark = pytest.mark.frameworks

TRAINING = Dataset(*rows(600, 1))
RUINS = {"epochs": 1, "batch_size": 50, "learning_rate": 1.0}  # Adam: every weight moves by one
HELPS = {"epochs": 2, "batch_size": 50, "learning_rate": 2e-3}
KEPT = "The weights of before the training are kept"


@pytest.fixture(scope="module")
def trained(tiny_folder):
    return frameworks.open_keras(tiny_folder / "tiny.keras")


def right(model):
    x, y = rows(300, 3)
    return frameworks.accuracy(np.asarray(model(x)), y)


def reopened(model):
    return compress.FORMATS["keras"].reopened(model)[1]


def told(applied):
    (note,) = [note for note in applied.changed.notes if "before the training" in note]
    return note


# --- which rows


@pytest.mark.parametrize(
    ("rows_there", "asked", "trained_on", "held"),
    [(600, None, 540, 60), (600, 600, 540, 60), (600, 541, 540, 60), (600, 540, 540, 60), (600, 100, 100, 60),
     (9, None, 9, 0), (10, None, 9, 1), (60_000, None, 59_000, 1000)],
)  # fmt: skip
def test_some_rows_are_held_out(rows_there, asked, trained_on, held):
    model, how = tiny_model(), Recover(rows=asked, batch_size=7)
    x, y = np.broadcast_to(TRAINING.x[:1], (rows_there, 8, 8, 1)), np.zeros(rows_there, int)
    context = Context(training=Dataset(x, y), seed=4)
    prepared = objective.prepare(model, how, context)
    assert (len(prepared.chosen), len(prepared.held)) == (trained_on, held)
    assert not np.intersect1d(prepared.chosen, prepared.held).size
    assert training.steps_of(how, context) == prepared.steps == -(-trained_on // 7)


# --- the better weights


def test_a_training_that_ruins_leaves_the_model_as_it_was(trained):
    found = compress.apply(trained, "recover", training=TRAINING, **RUINS)
    for old, new in zip(trained.weights, found.changed.model.weights, strict=True):
        if "moving" not in new.path:  # its statistics may be estimated anew, where these rows say that it helps
            assert np.array_equal(old.numpy(), new.numpy())
    assert right(found.changed.model) >= right(trained) - 0.01
    assert "of 60 rows not trained on, " in told(found)
    assert "the training made it worse" in told(found)
    assert KEPT in told(found)
    assert found.claims["changed_weights"] <= 16  # two statistics of eight channels


def test_a_training_that_helps_is_kept(trained):
    worse = compress.apply(trained, "prune_weights", sparsity=0.95).changed.model
    found = compress.apply(worse, "recover", training=TRAINING, **HELPS)
    assert right(found.changed.model) > right(worse)
    assert KEPT not in told(found)


def test_equal_is_kept_as_trained_and_less_within_chance_is_called_so(trained, monkeypatch):
    from pipeline.compress.training.better import Trial

    lost = 0
    errors = Trial._errors
    calls = []

    def drawn(trial):
        calls.append(trial)
        found = np.zeros_like(errors(trial))
        found[: lost if len(calls) % 2 == 0 else 0] = 1  # at the end so many are wrong that were right
        return found

    monkeypatch.setattr(Trial, "_errors", drawn)
    words = {}
    for lost in (0, 1, 30):
        model = compress.apply(trained, "recover", training=TRAINING, recalibrate=False, epochs=1).changed
        (words[lost],) = model.notes
        same = all(np.array_equal(*pair) for pair in zip(trained.get_weights(), model.model.get_weights(), strict=True))
        assert same is (lost > 0)
    assert KEPT not in words[0]
    assert "may be chance" in words[1]
    assert "made it worse" in words[30]


# --- what is kept keeps the promise


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("prune_weights", {"sparsity": 0.6}),
        ("prune_weights", {"sparsity": 0.6, "schedule": {"begin_step": 2}}),
        ("prune_weights", {"pattern": "2:4", "schedule": {}}),
        ("prune_channels", {"ratio": 0.5, "round_to": 1}),
        ("codebook", {"bits": 4}),
        ("quantize_aware", {}),
        ("quantize_aware", {"weight_bits": 4}),
    ],
)
def test_a_ruined_training_leaves_what_the_pass_makes_without_one(trained, name, settings):
    alone = {key: value for key, value in settings.items() if key != "schedule"}
    if name == "prune_weights":
        alone["recalibrate"] = True
    without = compress.apply(trained, name, training=TRAINING, **alone)
    ruined = compress.apply(trained, name, training=TRAINING, recover=RUINS, **settings)
    assert KEPT in told(ruined)
    assert right(ruined.changed.model) >= right(without.changed.model) - 0.02
    kernels = [
        [weight.numpy() for weight in each.changed.model.weights if "kernel" in weight.path]
        for each in (without, ruined)
    ]
    for one, other in zip(*kernels, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-7)


def test_without_labels_the_teacher_judges(trained):
    x = Dataset(TRAINING.x)
    worse = compress.apply(trained, "prune_weights", sparsity=0.9).changed.model
    how = {"distill": {"weight": 1.0}, "batch_size": 50}
    helped = compress.apply(worse, "recover", training=x, teacher=trained, epochs=3, learning_rate=5e-3, **how)
    assert "on 60 rows not trained on, the divergence from the teacher's answers was" in told(helped)
    assert KEPT not in told(helped)
    ruined = compress.apply(trained, "recover", training=x, teacher=trained, epochs=1, learning_rate=1.0, **how)
    assert KEPT in told(ruined)


def test_answers_that_are_no_classes_are_compared_in_their_own_unit(sets):
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, keras.layers.Dense(3, name="metres")(keras.layers.Flatten()(image)))
    student = reopened(model)
    student.get_layer("metres").bias.assign([0.1, -0.1, 0.1])
    rows_only = Dataset(sets.training[0])
    found = compress.apply(student, "recover", training=rows_only, teacher=model, distill=True, **RUINS)
    assert "the mean squared difference from the teacher's answers was 0.01 before" in told(found)
    assert KEPT in told(found)
    pairs = zip(student.get_weights(), found.changed.model.get_weights(), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)


def test_few_rows_are_compared_on_those_that_were_trained_on(trained):
    found = compress.apply(trained, "recover", training=Dataset(TRAINING.x[:9], TRAINING.y[:9]), epochs=1)
    assert "of 9 rows trained on, for there are too few to hold some out" in told(found)


def test_a_ruined_training_that_was_stopped_ends_with_the_same_weights(trained, tmp_path):
    how = Recover(epochs=3, batch_size=50, learning_rate=1.0)

    class Stopped(Exception):
        pass

    def stop(done, of, note):
        if done >= 11 and "training" in note:
            raise Stopped

    def go(**given):
        model = reopened(trained)
        notes = training.recover(model, how, Context(training=TRAINING, **given))
        return notes, model.get_weights()

    notes, whole = go()
    with pytest.raises(Stopped):
        go(resume=tmp_path, tell=stop)
    again, resumed = go(resume=tmp_path)
    assert notes == again
    assert all(np.array_equal(*pair) for pair in zip(whole, resumed, strict=True))


# --- quantization-aware training begins with the weights that batch normalisation was in front of


def test_folding_does_not_make_the_steps_of_a_training_larger(sets):
    """The same net, its first normalisation far from 1: a step moves the folded kernel as little as the kernel itself."""
    import keras

    from pipeline.compress.callbacks import fake_quantized
    from pipeline.frameworks import fake_quantization

    model = tiny_model()
    norm = model.get_layer("norm")
    norm.moving_variance.assign(np.full(8, 60.0**2, np.float32))  # as behind rows of 0..255
    quantized = fake_quantized(model, sets.calibration[0])
    stem = quantized.get_layer("stem")
    assert stem.kernel.numpy() == pytest.approx(model.get_layer("stem").kernel.numpy(), rel=1e-5)
    before = np.asarray(stem.rounded(stem.kernel))
    quantized.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", jit_compile=False)
    quantized.fit(*sets.training, batch_size=600, epochs=1, verbose=0)
    moved = np.abs(np.asarray(stem.rounded(stem.kernel)) - before).max()
    assert moved < 0.2 * np.abs(before).max()
    answers = np.asarray(quantized(sets.evaluation[0], training=False))
    copy = reopened(quantized)
    assert np.array_equal(
        np.asarray(copy(sets.evaluation[0], training=False)), answers
    )  # a file of it keeps the factor
    fake_quantization.settle(quantized)
    assert (np.asarray(stem.factor.variable) == 1).all()
    assert "factor" not in stem.get_config()
    assert np.asarray(quantized(sets.evaluation[0], training=False)) == pytest.approx(answers, abs=0.01)


def test_rows_of_0_to_255_train_as_well_as_rows_of_0_to_1():
    """A kernel that a factor of 1/60 was folded into used to be ruined by the first steps: below 60 % here."""
    import keras

    x, y = rows(600, 1)
    found = {}
    for factor in (1.0, 255.0):
        model = tiny_model()
        model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", jit_compile=False)
        model.fit(x * np.float32(factor), y, epochs=6, batch_size=50, verbose=0)
        given = Dataset(x * np.float32(factor), y)
        applied = compress.apply(
            model, "quantize_aware", training=given, calibration=given, recover={"epochs": 2, "batch_size": 50}
        )
        assert KEPT not in told(applied) or "chance" in told(applied)
        test_x, test_y = rows(300, 3)
        answers = np.asarray(applied.changed.model(test_x * np.float32(factor), training=False))
        found[factor] = frameworks.accuracy(answers, test_y)
    assert found[255.0] > found[1.0] - 0.03
