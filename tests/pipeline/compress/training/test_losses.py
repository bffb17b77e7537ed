"""The losses that a .keras file keeps, and those of the user's own: restored, or named with the reason why not."""

import contextlib

import pytest

from pipeline.compress import training
from pipeline.compress.context import Context
from pipeline.compress.settings import Recover
from pipeline.compress.training import compiled, objective
from pipeline.errors import EdgepressError, StageError
from pipeline.plan_tables import TrainingTable
from tests.support.trained_models import context_of, regression, sizes, task

pytestmark = pytest.mark.frameworks
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


def test_a_lambda_is_not_run(tmp_path):
    model, kept = saved(tmp_path, _lambda())
    with pytest.raises(StageError, match="it is a lambda, which is code inside the model file"):
        training.check(model, HOW, Context(training=sizes(), compiled=kept))
    found = objective.prepare(model, HOW, Context(training=sizes(), compiled=kept, task=task("regression")))
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
