"""Small nets of tasks that are not classes, with rows and labels: a regression, two heads, a segmentation."""

import numpy as np

from pipeline.compress.context import Context, Dataset
from pipeline.compress.training import compiled
from pipeline.records import Task

WEIGHTS = np.random.default_rng(5).normal(size=(8, 1))


def numbers(count, seed=1):
    """Rows of 8 numbers, a class of three, and a number."""
    x = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 1), np.tanh(x @ WEIGHTS).astype(np.float32)


def maps(count, seed=1, side=12):
    """Pictures with a bright square, and the class of each pixel: 1 inside, 255 on one pixel that counts nowhere."""
    draw = np.random.default_rng(seed)
    x = draw.normal(0.3, 0.15, (count, side, side, 1)).astype(np.float32)
    y = np.zeros((count, side, side), np.uint8)
    for row, label, (top, left) in zip(x, y, draw.integers(0, side - 5, (count, 2)), strict=True):
        row[top : top + 5, left : left + 5] += 0.5
        label[top : top + 5, left : left + 5] = 1
    y[:, 0, 0] = 255
    return x, y


def regression(loss="mse", fitted=True):
    import keras

    keras.utils.set_random_seed(0)
    x = keras.Input((8,), name="x")
    hidden = keras.layers.Dense(48, activation="relu", name="hidden")(x)
    model = keras.Model(x, keras.layers.Dense(1, name="size")(keras.layers.Dense(24, activation="relu")(hidden)))
    return _fitted(model, loss, numbers(600)[0], numbers(600)[2], fitted)


def two_heads(loss=None, weights=None, fitted=True):
    import keras

    keras.utils.set_random_seed(0)
    x = keras.Input((8,), name="x")
    hidden = keras.layers.Dense(48, activation="relu", name="hidden")(x)
    kind, size = keras.layers.Dense(3, name="k")(hidden), keras.layers.Dense(1, name="s")(hidden)
    model = keras.Model(x, {"size": size, "kind": kind})
    x, kind, size = numbers(600)
    loss = loss or {"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mse"}
    return _fitted(model, loss, x, {"kind": kind, "size": size}, fitted, loss_weights=weights)


def segmentation(fitted=True):
    import keras

    keras.utils.set_random_seed(0)
    picture = keras.Input((12, 12, 1), name="picture")
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="first")(picture)
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="second")(x)
    model = keras.Model(picture, keras.layers.Conv2D(2, 1, name="scores")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    return _fitted(model, loss, *maps(200), fitted)


def _fitted(model, loss, x, y, fitted, **more):
    model.compile("adam", loss=loss, **more)
    if fitted:
        model.fit(x, y, epochs=12, verbose=0)
    return model


def two_labels(count=300, seed=2, **more):
    x, kind, size = numbers(count, seed)
    return Dataset(x, targets={"kind": kind, "size": size}, **more)


def sizes(count=300, seed=2, **more):
    x, _, size = numbers(count, seed)
    return Dataset(x, targets={"": size}, **more)


def task(kind, **more):
    return Task(kind=kind, metric="mae", title="", higher_is_better=False, ratio=False, **more)


def context_of(model, data, **more):
    return Context(training=data, compiled=compiled.of_model(model), original=lambda: model, **more)
