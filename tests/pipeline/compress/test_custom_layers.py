"""Layers of a user's own, from Python: what cannot be copied is named, with what to do."""

import numpy as np
import pytest

from pipeline import compress
from pipeline.errors import StageError

pytestmark = pytest.mark.frameworks

PASSES = [("prune_channels", {"ratio": 0.5}), ("prune_weights", {"sparsity": 0.5})]


def model_with(layer):
    import keras

    numbers = keras.Input((6,))
    x = keras.layers.Dense(16, activation="relu", name="first")(numbers)
    x = layer(keras.layers.Dense(16, name="second")(x))
    return keras.Model(numbers, keras.layers.Dense(3, name="scores")(x))


def scale(*, registered, whole):
    import keras

    class Scale(keras.layers.Layer):
        def __init__(self, settings, **options):
            super().__init__(**options)
            self.settings = settings

        def call(self, x):
            return x * self.settings.factor

    class Whole(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    class Settings:
        factor = 2.0

    kind = Whole if whole else Scale
    if registered:
        kind = keras.saving.register_keras_serializable(package="tests_custom_layers")(kind)
    return kind(name="mine") if whole else kind(Settings(), name="mine")


@pytest.mark.parametrize(("name", "settings"), PASSES)
@pytest.mark.parametrize(("registered", "whole"), [(True, False), (False, True)])
def test_a_layer_that_can_not_be_copied_is_named(name, settings, registered, whole):
    model = model_with(scale(registered=registered, whole=whole))
    before = [np.array(weight) for weight in model.weights]
    with pytest.raises(StageError, match=f"{name}: layer 'mine' .* cannot be saved and read back") as caught:
        compress.apply(model, name, **settings)
    assert "register_keras_serializable" in caught.value.hint
    assert "get_config" in caught.value.hint
    assert all(np.array_equal(old, new) for old, new in zip(before, model.weights, strict=True))


@pytest.mark.parametrize(("name", "settings"), PASSES)
def test_one_that_can_be_copied_is_no_obstacle(name, settings):
    applied = compress.apply(model_with(scale(registered=True, whole=True)), name, **settings)
    assert type(applied.changed.model.get_layer("mine")).__name__ == "Whole"
