"""Kernels that an initializer made zero have yet to learn; those that were pruned stay zero."""

import numpy as np
import pytest

from pipeline import compress
from pipeline.compress.context import Dataset
from tests.support.tiny_model import rows

pytestmark = pytest.mark.frameworks

TRAINING = Dataset(*rows(200, 1))
SHORT = {"epochs": 1, "batch_size": 50, "learning_rate": 1e-2}


def zero_branch():
    """A residual branch that begins as nothing."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    x = layers.Dense(32, activation="relu", name="wide")(layers.Flatten()(image))
    branch = layers.Dense(32, kernel_initializer="zeros", name="branch")(x)
    return keras.Model(image, layers.Dense(4, name="scores")(layers.Add()([x, branch])))


def kernel(model, name):
    return np.asarray(model.get_layer(name).kernel)


def test_zeros_of_an_initializer_learn_and_pruned_ones_stay():
    model = zero_branch()
    wide = model.get_layer("wide").kernel
    wide.assign(np.where(np.arange(32) < 5, 0, kernel(model, "wide")))
    after = compress.apply(model, "recover", training=TRAINING, **SHORT).changed.model
    assert np.count_nonzero(kernel(after, "branch")) > 500
    assert not kernel(after, "wide")[:, :5].any()


def test_a_whole_kernel_that_was_pruned_stays_zero():
    model = zero_branch()
    model.get_layer("wide").kernel.assign(np.zeros((64, 32)))
    model.get_layer("wide").bias.assign(np.ones(32))
    after = compress.apply(model, "recover", training=TRAINING, **SHORT).changed.model
    assert not kernel(after, "wide").any()


def test_pruned_and_trained_at_once_half_of_them_learns():
    applied = compress.apply(zero_branch(), "prune_weights", sparsity=0.5, training=TRAINING, recover=SHORT)
    assert 0.4 < np.mean(kernel(applied.changed.model, "branch") != 0) <= 0.5


@pytest.mark.parametrize("given", [{"width": 0.5}, {"student": "student.keras"}])
def test_a_student_that_begins_anew_learns_everywhere(given, tmp_path, monkeypatch):
    import keras

    from pipeline.compress.training import better

    monkeypatch.setattr(better.Trial, "_restore", lambda _: None)  # whether it is better is not the matter here

    model, student = zero_branch(), zero_branch()
    student.get_layer("wide").kernel.assign(keras.ops.eye(64, 32))  # as an initializer may make it
    student.save(tmp_path / "student.keras")
    after = compress.apply(model, "distill", training=TRAINING, folder=tmp_path, **given, **SHORT).changed.model
    assert np.mean(kernel(after, "branch") != 0) > 0.8
    assert np.mean(kernel(after, "wide") != 0) > 0.8
