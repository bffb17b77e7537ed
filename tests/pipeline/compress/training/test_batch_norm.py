"""Statistics of batch normalisation, estimated anew."""

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.compress.context import Context, Dataset
from pipeline.compress.training import batch_norm
from pipeline.errors import StageError
from tests.support.tiny_model import rows, tiny_model

pytestmark = pytest.mark.frameworks


def values(model):
    return {weight.path: weight.numpy() for weight in model.weights}


def accuracy(model, data):
    return frameworks.accuracy(model.predict(data[0], verbose=0), data[1])


def test_stale_statistics_ruin_a_model_and_new_ones_save_it(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    sound = accuracy(model, sets.evaluation)
    norm = model.get_layer("norm")
    norm.moving_mean.assign(norm.moving_mean.numpy() + 1)
    norm.moving_variance.assign(norm.moving_variance.numpy() * 50)
    assert accuracy(model, sets.evaluation) < sound - 0.2
    before = values(model)
    assert batch_norm.recalibrate(model, Context(training=Dataset(*sets.training)))
    assert accuracy(model, sets.evaluation) > sound - 0.02
    changed = {path for path, value in values(model).items() if not np.array_equal(value, before[path])}
    assert changed == {"norm/moving_mean", "norm/moving_variance"}


def test_the_statistics_are_those_of_all_rows():
    """Also where batches differ: the variance is that of all rows together, not the mean of the batches' variances."""
    import keras

    model = tiny_model()
    x = rows(700, 1)[0]
    x[::2] += 3
    assert batch_norm.recalibrate(model, Context(calibration=Dataset(x)))
    seen = keras.Model(model.inputs, model.get_layer("stem").output).predict(x, verbose=0)
    norm = model.get_layer("norm")
    np.testing.assert_allclose(norm.moving_mean.numpy(), seen.mean((0, 1, 2)), rtol=1e-3)
    np.testing.assert_allclose(norm.moving_variance.numpy(), seen.var((0, 1, 2)), rtol=1e-3)


def test_nothing_to_estimate(sets):
    import keras

    image = keras.Input((8, 8, 1))
    plain = keras.Model(image, keras.layers.Flatten()(image))
    assert not batch_norm.recalibrate(plain, Context(training=Dataset(*sets.training)))
    assert not batch_norm.recalibrate(tiny_model(), Context())
    assert not batch_norm.recalibrate(tiny_model(), Context(training=Dataset(sets.training[0][:0])))


def deep_model():
    """Normalisation in a nested model that is frozen, in a wrapper, behind dropout, and used twice."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    inner = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5), layers.BatchNormalization(name="nested")], name="sequential"
    )
    inner.trainable = False
    sequence = keras.Input((4, 6))
    x = layers.TimeDistributed(layers.BatchNormalization(name="wrapped"))(sequence)
    x = inner(layers.Dropout(0.9)(layers.Flatten()(x)[:, :6]))
    shared = layers.BatchNormalization(name="shared")
    return keras.Model(sequence, shared(x) + shared(2 * x + 1))


def norms(model):
    return {layer.name: layer for layer in batch_norm.norms_of(model)}


def test_nested_wrapped_and_shared_ones_without_dropout():
    model = deep_model()
    x = np.random.default_rng(0).normal(2, 3, (512, 4, 6)).astype(np.float32)
    assert batch_norm.recalibrate(model, Context(training=Dataset(x)))
    found = norms(model)
    assert set(found) == {"nested", "wrapped", "shared"}
    np.testing.assert_allclose(found["wrapped"].moving_mean.numpy(), x.mean((0, 1)), rtol=1e-4)
    dense = model.get_layer("sequential").layers[0]
    reached = ((x - x.mean((0, 1))) / x.std((0, 1)))[
        :, 0
    ] @ dense.kernel.numpy()  # with dropout it would vary ten times as much
    np.testing.assert_allclose(found["nested"].moving_variance.numpy(), reached.var(0), rtol=0.05)
    # nested answers mean 0 and variance 1, so shared sees z and 2 z + 1
    z = np.stack([np.zeros(5), np.ones(5)])
    np.testing.assert_allclose(found["shared"].moving_mean.numpy(), z.mean(0), atol=1e-3)
    np.testing.assert_allclose(found["shared"].moving_variance.numpy(), (1 + 4) / 2 + z.var(0), rtol=1e-2)
    assert not found["nested"].trainable
    assert all(layer.momentum == 0.99 for layer in found.values())


def test_the_same_seed_takes_the_same_rows(monkeypatch, sets):
    monkeypatch.setattr(batch_norm, "ROWS", 100)
    monkeypatch.setattr(batch_norm, "BATCH_ROWS", 30)
    found = []
    for seed in (1, 1, 2):
        model = tiny_model()
        batch_norm.recalibrate(model, Context(training=Dataset(*sets.training), seed=seed))
        found.append(model.get_layer("norm").moving_mean.numpy())
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_statistics_that_are_not_finite(sets):
    model = tiny_model()
    model.get_layer("stem").kernel.assign(np.full((3, 3, 1, 8), 3e38))
    with pytest.raises(StageError, match="batch normalisation 'norm' cannot be estimated"):
        batch_norm.recalibrate(model, Context(training=Dataset(*sets.training)))
