"""Training after a change: seeded, resumed, checked, and without a trace but the weights."""

import json

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.compress import training
from pipeline.compress.context import Context, Dataset
from pipeline.compress.settings import Distill, Recover
from pipeline.compress.training import mixed_precision, objective
from pipeline.compress.training.checkpoint import Checkpoint
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.frameworks

SHORT = Recover(epochs=1, batch_size=50)
LONG = Recover(epochs=3, batch_size=70, learning_rate=5e-3)  # 540 of 600 rows: batches of 67 and 68


class Stopped(Exception):
    pass


def with_dropout():
    """The tiny model with a layer that draws at random."""
    import keras

    model = tiny_model()
    image, x = model.inputs[0], model.get_layer("hidden").output
    return keras.Model(image, model.get_layer("scores")(keras.layers.Dropout(0.3, seed=7)(x)))


def weights(model):
    return [weight.numpy() for weight in model.weights]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def trained(how, context, model=None, **given):
    model = model or with_dropout()
    training.recover(model, how, context, **given)
    return weights(model)


def stopping_after(epochs, steps=8):
    def tell(done, of, note):
        if done >= epochs * steps and "training" in note:
            raise Stopped

    return tell


@pytest.fixture
def context(sets):
    return Context(training=Dataset(*sets.training), evaluation=Dataset(*sets.evaluation))


# --- seeds and order


def test_the_same_seed_gives_the_same_weights(context):
    once = trained(LONG, context)
    assert same(once, trained(LONG, context))
    assert not same(once, trained(LONG, context._replace(seed=1)))


def test_every_epoch_sees_every_row_once_in_another_order(context):
    prepared = objective.prepare(tiny_model(), LONG, context)
    epochs = [np.concatenate([batch["x"][0] for batch in prepared.batches(epoch)]) for epoch in (0, 1)]
    assert not np.array_equal(*epochs)
    trained_on = context.training.x[prepared.chosen].sum((1, 2, 3))
    for seen in epochs:
        assert np.array_equal(np.sort(seen.sum((1, 2, 3))), np.sort(trained_on))
    assert {len(batch["y"][0]) for batch in prepared.batches(0)} == {67, 68}


def test_rows_are_taken_batch_by_batch(context):
    class Mapped(np.ndarray):
        largest = 0

        def __getitem__(self, index):
            found = super().__getitem__(index)
            Mapped.largest = max(Mapped.largest, len(found) if found.ndim == 4 else 0)
            return found

    x = context.training.x.view(Mapped)
    trained(Recover(epochs=1, batch_size=20, rows=400), context._replace(training=Dataset(x, context.training.y)))
    assert 20 <= Mapped.largest < 600  # 64 rows tell probabilities from logits; recalibration takes 256 at once
    assert Mapped.largest <= 300


def test_progress_tells_loss_and_accuracy_so_far_but_not_too_often(context):
    told = []
    how = Recover(epochs=2, batch_size=1, rows=300, recalibrate=False)
    trained(how, context._replace(tell=lambda *what: told.append(what)))
    assert [of for _, of, _ in told] == [600] * len(told)
    done = [done for done, _, _ in told]
    assert done == sorted(done)
    assert done[-1] == 600
    assert len(told) < 120  # not 600: ten a second
    assert "training, epoch 2 of 2: loss 0." in told[-1][2]
    assert "training accuracy so far" in told[-1][2]
    assert "% of 300 evaluation rows" in told[-1][2]


# --- stopped and resumed


@pytest.mark.parametrize(
    "how",
    [LONG, Recover(epochs=3, batch_size=70, distill=Distill(features=("stem=pointwise",)))],
    ids=["labels", "features"],
)
def test_a_stopped_training_goes_on_to_the_same_weights(context, tmp_path, how):
    import keras

    if how.distillation:
        keras.utils.set_random_seed(1)
        image = keras.Input((8, 8, 1), name="image")
        x = keras.layers.Conv2D(3, 3, strides=2, padding="same", name="stem")(image)
        teacher = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(x)))
        context = context._replace(original=lambda: teacher)
    whole = trained(how, context)
    resumed = context._replace(resume=tmp_path)
    with pytest.raises(Stopped):
        trained(how, resumed._replace(tell=stopping_after(1)))
    (kept,) = tmp_path.glob("training-*.npz")
    first = kept.read_bytes()
    told = []
    assert same(whole, trained(how, resumed._replace(tell=lambda done, of, note: told.append((done, note)))))
    assert min(done for done, note in told if note.startswith("training")) > 8
    told.clear()
    assert same(whole, trained(how, resumed._replace(tell=lambda done, of, note: told.append((done, note)))))
    assert not [note for _, note in told if note.startswith("training")]  # it was done already
    kept.write_bytes(first[: len(first) // 2])
    assert same(whole, trained(how, resumed))


def test_other_settings_do_not_resume(context, tmp_path):
    resumed = context._replace(resume=tmp_path)
    trained(SHORT, resumed)
    other = Recover(epochs=1, batch_size=50, learning_rate=1e-2)
    assert same(trained(other, resumed), trained(other, context))
    assert len(list(tmp_path.glob("training-*.npz"))) == 2


def test_a_checkpoint_under_another_ones_name_is_not_read(tmp_path):
    mine, foreign = Checkpoint(tmp_path, "training", 1), Checkpoint(tmp_path, "training", 2)
    foreign.write({"a": np.ones(2)})
    foreign.path.rename(mine.path)
    assert mine.read() is None
    mine.write({"a": np.zeros(2)})
    assert np.array_equal(mine.read()["a"], np.zeros(2))


def test_callbacks_are_resumed_too(context, tmp_path):
    import keras

    class Counting(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.steps = 0
            self.iterations = []

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            self.iterations.append(int(self.model.optimizer.iterations.numpy()))

        def state(self):
            return [np.array(self.steps)]

        def restore(self, arrays):
            self.steps = int(arrays[0])

    resumed = context._replace(resume=tmp_path)
    with pytest.raises(Stopped):
        trained(LONG, resumed._replace(tell=stopping_after(2)), callbacks=[Counting()])
    counting = Counting()
    trained(LONG, resumed, callbacks=[counting])
    assert counting.steps == 24
    assert counting.iterations == list(range(17, 25))


# --- no trace but the weights


def test_zeros_of_kernels_stay_and_others_learn(context):
    import keras

    model = tiny_model()
    kernel, bias = model.get_layer("hidden").kernel, model.get_layer("hidden").bias
    also = keras.constraints.MaxNorm(1.0)
    kernel.constraint = also
    holes = np.random.default_rng(0).random(kernel.shape) < 0.6
    kernel.assign(np.where(holes, 0, kernel.numpy()))
    training.recover(model, LONG, context)
    assert np.array_equal(kernel.numpy() == 0, holes)
    assert np.linalg.norm(kernel.numpy(), axis=0).max() <= 1 + 1e-5
    assert kernel.constraint is also
    assert np.count_nonzero(bias.numpy()) > 0  # a bias of zeros is no pruned one


def test_a_frozen_model_trains_also_inside_and_stays_frozen(context):
    """Trap: a clone of a teacher that was frozen keeps trainable=False and learns nothing."""
    import keras

    inner = tiny_model()
    inner.get_layer("stem").trainable = False
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, inner(image))
    model.get_layer("tiny").get_layer("norm").trainable = False
    before, flags = weights(model), [layer.trainable for layer in model._flatten_layers()]
    assert flags.count(False) == 2
    training.recover(model, SHORT, context)
    assert [layer.trainable for layer in model._flatten_layers()] == flags
    model.trainable = False
    changed = [not np.array_equal(a, b) for a, b in zip(before, weights(model), strict=True)]
    assert all(changed)
    between = weights(model)
    training.recover(model, SHORT, context)
    assert not model.trainable
    assert not same(between, weights(model))


def test_the_compile_state_and_the_momentum_stay(context):
    model = tiny_model()
    model.compile("sgd", loss=lambda y, p: p[:, 0])
    optimizer, config = model.optimizer, json.dumps(model.get_config(), default=str)
    training.recover(model, SHORT, context)
    assert model.optimizer is optimizer
    assert model.compiled
    assert model.get_layer("norm").momentum == 0.99
    assert json.dumps(model.get_config(), default=str) == config
    assert model.get_layer("scores").activation.__name__ == "softmax"
    np.testing.assert_allclose(model(context.training.x[:5]).numpy().sum(-1), 1, rtol=1e-5)


def test_statistics_are_estimated_anew_unless_it_is_switched_off(context):
    import keras

    x = context.training.x
    errors = {}
    for recalibrate in (True, False):
        model = tiny_model()
        training.recover(model, Recover(epochs=1, batch_size=200, recalibrate=recalibrate), context)
        seen = keras.Model(model.inputs, model.get_layer("stem").output).predict(x, verbose=0)
        errors[recalibrate] = np.abs(model.get_layer("norm").moving_variance.numpy() / seen.var((0, 1, 2)) - 1).max()
    assert errors[True] < 1e-3
    assert errors[False] > 0.1


# --- mixed precision


def test_mixed_precision_is_measured_and_leaves_the_weights_in_float32(context, monkeypatch):
    how = Recover(epochs=2, batch_size=50, learning_rate=5e-3, mixed_precision=True)
    policies = {}
    for gain in (0.0, 1e9):  # bfloat16 whatever was measured, float32 whatever was measured
        monkeypatch.setattr(mixed_precision, "GAIN", gain)
        model = tiny_model()
        note, _ = training.recover(model, how, context)
        assert "float32 and " in note
        policies[gain] = note.rsplit(" ", 1)[1], weights(model)
        assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {"float32"}
        assert {str(weight.dtype) for weight in model.weights} == {"float32"}
        x, y, *_ = context.evaluation
        assert frameworks.accuracy(model.predict(x, verbose=0), y) > 0.9
    assert [policy for policy, _ in policies.values()] == ["bfloat16", "float32"]
    plain = tiny_model()
    training.recover(plain, Recover(epochs=2, batch_size=50, learning_rate=5e-3), context)
    assert same(policies[1e9][1], weights(plain))  # the measured steps were taken back
    assert not same(policies[0.0][1], weights(plain))
