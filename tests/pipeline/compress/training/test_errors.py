"""Trainings that cannot be: rows that do not fit, and losses that are no numbers."""

import numpy as np
import pytest

from pipeline import compress
from pipeline.compress import training
from pipeline.compress.context import Context, Dataset
from pipeline.compress.settings import Recover
from pipeline.errors import DataError, StageError
from tests.support.tiny_model import rows, tiny_model

pytestmark = pytest.mark.frameworks

SHORT = Recover(epochs=1, batch_size=50)


@pytest.fixture
def context(sets):
    return Context(training=Dataset(*sets.training))


# --- losses that are no numbers


def test_the_first_layer_that_overflows_is_named(context):
    model = tiny_model()
    model.get_layer("pointwise").kernel.assign(np.full((1, 1, 8, 16), 3e38))
    with pytest.raises(
        StageError, match=r"epoch 1 of 1, step 1 of 11: the loss became .*, first in the outputs of layer 'pointwise'"
    ) as caught:
        training.recover(model, SHORT, context)
    assert "learning_rate" in caught.value.hint


def test_a_training_that_blows_up_keeps_the_last_good_epoch(context, tmp_path):
    import keras

    class Bomb(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model.get_layer("hidden").kernel.assign(np.full((256, 12), np.nan))

    with pytest.raises(StageError, match=r"epoch 3 of 3, step 1 of 8: the weights 'hidden/kernel' became NaN"):
        training.recover(tiny_model(), Recover(epochs=3, batch_size=70), context._replace(resume=tmp_path), [Bomb()])
    (kept,) = tmp_path.glob("training-*.npz")
    assert int(np.load(kept)["epochs"]) == 2


def test_a_learning_rate_that_is_far_too_high():
    """A layer that multiplies what it sees by itself, and is pushed up by every step."""
    import keras

    keras.utils.set_random_seed(1)
    numbers = keras.Input((2,))
    x = keras.layers.Dense(8, name="exponent", activation="exponential")(numbers)
    model = keras.Model(numbers, keras.layers.Dense(2, name="scores")(x))
    x = np.random.default_rng(0).normal(0, 20, (64, 2)).astype(np.float32)
    with pytest.raises(
        StageError, match=r"failed in epoch \d+ of 20, step \d of 8: the weights 'exponent/kernel'"
    ) as caught:
        training.recover(
            model, Recover(epochs=20, batch_size=8, learning_rate=1), Context(training=Dataset(x, np.arange(64) % 2))
        )
    assert "smaller recover.learning_rate" in caught.value.hint


def test_rows_that_are_no_numbers(context):
    x, y = rows(50, 1)
    x[7, 0, 0] = np.nan
    with pytest.raises(StageError, match="the training rows hold NaN"):
        training.recover(tiny_model(), SHORT, context._replace(training=Dataset(x, y)))


# --- rows that do not fit


X, Y = rows(20, 1)


@pytest.mark.parametrize(
    ("data", "how", "message"),
    [
        (None, SHORT, r"needs data\.training"),
        (Dataset(X), SHORT, r"needs labels, but data\.training has none"),
        (Dataset(X), Recover(distill=True), r"needs labels, but data\.training has none"),
        (Dataset(X[:, :7], Y), SHORT, r"a row of data\.training has shape \(7, 8, 1\)"),
        (Dataset(X.astype(np.float64), Y), SHORT, r"data\.training are float64"),
        (
            Dataset(X, Y + 1),
            SHORT,
            "labels of data.training go from 1 to 4, but the model has 4 classes: 0 to 3",
        ),
        (Dataset(X, Y - 1), SHORT, "go from -1 to 2"),
        (Dataset(X, Y[:7]), SHORT, r"int64 of shape \(7,\), and must be one integer for each of 20 rows"),
        (Dataset(X, np.eye(4)[Y]), SHORT, r"float64 of shape \(20, 4\)"),
        (Dataset(X, Y), Recover(rows=21), r"recover\.rows is 21, but data\.training has only 20 rows"),
    ],
)
def test_training_sets_that_do_not_fit(data, how, message):
    model = tiny_model()
    with pytest.raises(DataError, match=message) as caught:
        training.recover(model, how, Context(training=data, original=tiny_model))
    assert caught.value.hint


def test_what_is_no_classifier_needs_a_teacher():
    import keras

    numbers = keras.Input((3,))
    model = keras.Model(numbers, keras.layers.Dense(1)(numbers))
    data = Dataset(np.ones((8, 3), np.float32), np.zeros(8, np.int64))
    with pytest.raises(StageError, match="can train classifiers, and the output") as caught:
        training.recover(model, Recover(), Context(training=data))
    assert caught.value.hint.startswith("Write recover = { distill = true }, ")
    with pytest.raises(StageError) as caught:  # it has the keys of that table itself
        compress.apply(model, "recover", training=data)
    assert caught.value.hint.startswith("Write distill = true, ")
