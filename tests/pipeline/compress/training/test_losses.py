"""The losses that a file keeps, and those of the user's own: restored, or named with the reason why not."""

import contextlib
from pathlib import Path

import pytest

from pipeline import frameworks
from pipeline.compress import training
from pipeline.compress.context import Context
from pipeline.compress.settings import Recover
from pipeline.compress.training import compiled, losses, objective
from pipeline.errors import EdgepressError, StageError
from pipeline.plan_tables import TrainingTable
from tests.support.trained_models import context_of, regression, sizes, task, two_heads, two_labels

pytestmark = pytest.mark.frameworks
KERAS2 = Path(__file__).parents[3] / "models" / "keras2"
HOW = Recover(epochs=1, batch_size=25)


def _lambda():
    return lambda y, z: (y - z) ** 2


def own_classes():
    import keras

    class Own(keras.losses.Loss):
        def __init__(self, power=2, **more):
            super().__init__(**more)
            self.power = power

        def call(self, y, z):
            return keras.ops.mean(keras.ops.abs(y - z) ** self.power, -1)

    class Whole(Own):
        def get_config(self):
            return {**super().get_config(), "power": self.power}

    return Own, Whole


@contextlib.contextmanager
def known(**own):
    """What [model] custom_objects does."""
    import keras

    keras.saving.get_custom_objects().update(own)
    yield
    for each in own:
        del keras.saving.get_custom_objects()[each]


def saved(tmp_path, loss):
    model = regression(loss, fitted=False)
    model.save(tmp_path / "m.keras")
    model.compiled = False
    return model, compiled.read(tmp_path / "m.keras")


def test_a_loss_of_the_users_own_is_restored_with_its_arguments(tmp_path):
    own, whole = own_classes()
    model, kept = saved(tmp_path, whole(3))
    context = Context(training=sizes(), compiled=kept)
    with pytest.raises(StageError, match=r"loss of 'size' .* is not restored: Keras does not know 'Whole'") as caught:
        training.check(model, HOW, context)
    assert "[model] custom_objects" in caught.value.hint
    with known(Whole=whole, Own=own):
        (found,) = objective.prepare(model, HOW, context).labels
        assert found.loss.of.power == 3
        model, kept = saved(tmp_path, own(3))  # get_config leaves the power out: 2 would come back
        with pytest.raises(StageError, match="does not say which power 'Own' had"):
            training.check(model, HOW, Context(training=sizes(), compiled=kept))


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_what_keras_2_compiled_is_restored(ending):
    path = KERAS2 / f"compiled.{ending}"
    model = frameworks.open_keras(path)
    context = Context(training=two_labels(), compiled=compiled.read(path))
    kind, size = objective.prepare(model, HOW, context).labels
    assert (kind.name, kind.loss.name, kind.weight) == ("kind", "sparse_categorical_crossentropy", 0.5)
    kept = losses.restored(context.compiled["loss"]["kind"])
    assert kept.of.get_config()["from_logits"]
    assert (size.name, size.loss.name, size.weight) == ("size", "mean_absolute_error", 2.0)


def test_a_compiled_h5_file_is_restored_as_a_keras_file_is(tmp_path):
    own, whole = own_classes()

    def distance(y, z):
        return abs(y - z)

    model = two_heads(weights={"kind": 0.5, "size": 2.0}, fitted=False)
    found = []
    for ending in ("keras", "h5"):
        model.save(tmp_path / f"m.{ending}")
        context = Context(training=two_labels(), compiled=compiled.read(tmp_path / f"m.{ending}"))
        labels = objective.prepare(frameworks.open_keras(tmp_path / f"m.{ending}"), HOW, context).labels
        found.append(
            [(each.name, each.loss.name, each.loss.of and each.loss.of.get_config(), each.weight) for each in labels]
        )
    assert found[0] == found[1]
    assert [each[1] for each in found[1]] == ["sparse_categorical_crossentropy", "mean_squared_error"]
    for loss, mine in ((whole(3), {"Whole": whole, "Own": own}), (distance, {"distance": distance})):
        model = regression(loss, fitted=False)
        model.save(tmp_path / "own.h5")
        model.compiled = False
        context = Context(training=sizes(), compiled=compiled.read(tmp_path / "own.h5"))
        with pytest.raises(StageError, match=r"loss of 'size' .* is not restored"):
            training.check(model, HOW, context)
        with known(**mine):
            (label,) = objective.prepare(model, HOW, context).labels
            assert getattr(label.loss.of, "power", None) == getattr(loss, "power", None)
    model = regression(_lambda(), fitted=False)
    model.save(tmp_path / "own.h5")
    model.compiled = False
    with pytest.raises(StageError, match="it is a lambda"):
        training.check(model, HOW, Context(training=sizes(), compiled=compiled.read(tmp_path / "own.h5")))


def test_an_h5_file_that_keeps_no_loss(tmp_path):
    import h5py

    model = regression(fitted=False)
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        for text in ("{", "[1]", '{"loss": ""}'):
            file.attrs["training_config"] = text
            file.flush()
            assert compiled.read(tmp_path / "m.h5") is None
        del file.attrs["training_config"]
    assert compiled.read(tmp_path / "m.h5") is None


def test_a_lambda_is_not_run(tmp_path):
    model, kept = saved(tmp_path, _lambda())
    with pytest.raises(StageError, match="it is a lambda, which is code inside the model file"):
        training.check(model, HOW, Context(training=sizes(), compiled=kept))
    found = objective.prepare(model, HOW, Context(training=sizes(), compiled=kept, tasks=(task("regression"),)))
    assert [each.loss.name for each in found.labels] == ["mean_squared_error"]
    assert "is not restored, because it is a lambda" in found.notes[0]


def test_a_loss_that_fails_is_named():
    def broken(y, z):
        raise ValueError("no such thing")

    with known(broken=broken):
        learn = TrainingTable(loss="broken")
        made = regression(fitted=False)
        with pytest.raises(
            EdgepressError, match=r"the loss 'broken' of 'size' failed on the first rows: .*no such thing"
        ):
            training.check(made, HOW, context_of(made, sizes(), learn=learn))
