"""A plan with every pass that trains over a net of every kind of layer: promises hold, and the int8 file answers as predicted."""

import numpy as np
import pytest

from pipeline import frameworks
from tests.support.tiny_model import through

pytestmark = pytest.mark.frameworks

PLAN = """[model]
path = "kinds.keras"
[data]
training = "training.npz"
calibration = "training.npz"
evaluation = "evaluation.npz"
[task]
kind = "regression"
output = "size"
[[compress]]
pass = "prune_channels"
ratio = 0.25
round_to = 1
[[compress]]
pass = "recover"
epochs = 4
batch_size = 20
learning_rate = 5e-3
[[compress]]
pass = "codebook"
bits = 6
[[compress]]
pass = "quantize_aware"
recover = { epochs = 1, batch_size = 20, learning_rate = 1e-3 }
[convert]
formats = ["tflite-int8"]
[measure]
steps = false
"""


def rows(count, seed):
    x = np.random.default_rng(seed).normal(2, [0.1, 1, 3, 1], (count, 3, 4)).astype(np.float32)
    return x, (x[:, 0, 1] > 2).astype(np.int64) + (x[:, 1, 2] > 4), np.tanh(x.mean((1, 2))[:, None] - 2)


def of_every_kind():
    """Return a trained net of two heads, with LSTM, GRU, attention, LayerNormalization, Normalization and a transposed convolution."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    given = keras.Input((3, 4), name="rows")
    normal = layers.Normalization(name="normal")
    normal.adapt(rows(200, 1)[0])
    x = layers.Conv1D(8, 3, padding="same", activation="relu", name="conv")(normal(given))
    y = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4, name="attention")(x, x))
    picture = layers.Reshape((3, 8, 1))(x)
    wide = layers.Conv2DTranspose(6, 3, strides=2, activation="relu", name="wide")(picture)
    found = [
        layers.LSTM(6, unroll=True, name="lstm")(x),
        layers.GRU(6, unroll=True, name="gru")(x),
        layers.GlobalAveragePooling1D()(y),
    ]
    joined = layers.Concatenate()([*found, layers.GlobalAveragePooling2D()(wide)])
    hidden = layers.Dense(16, activation="relu", name="hidden")(joined)
    model = keras.Model(given, [layers.Dense(3, name="kind")(hidden), layers.Dense(1, name="size")(hidden)])
    loss = {"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mse"}
    model.compile(keras.optimizers.Adam(5e-3), loss, loss_weights={"kind": 0.5, "size": 1.0})
    x, kind, size = rows(300, 1)
    model.fit(x, {"kind": kind, "size": size}, batch_size=20, epochs=6, verbose=0)
    return model


def test_every_pass_over_every_kind_of_layer(empty):
    of_every_kind().save(empty.folder / "kinds.keras")
    for name, count, seed in (("training", 300, 1), ("evaluation", 60, 2)):
        x, kind, size = rows(count, seed)
        np.savez(empty.folder / f"{name}.npz", x=x, **{"labels.kind": kind, "labels.size": size})
    now = through(empty, PLAN)
    pruned, recovered, coded, aware = now.compressed.passes
    assert pruned.parameters_after < 0.85 * pruned.parameters_before
    learned = "'kind' learns from labels by sparse_categorical_crossentropy, with the weight 0.5; 'size' learns from labels by mean_squared_error"
    assert recovered.notes[0] == learned
    assert recovered.model.qualities[0].value < pruned.model.qualities[0].value
    assert coded.container is not None
    assert coded.claims["kernels"] > 8
    assert aware.notes[0].startswith("lstm, gru: written out step by step")
    assert aware.claims["most_values_of_a_channel"] <= 255
    assert aware.model.qualities[0].value < 1.2 * now.loaded.model.qualities[0].value + 0.05

    (file,) = (each for each in now.converted if each.variant == "compressed")
    runner = frameworks.Tflite(empty.store.path(file.artifact), "the int8 file")
    scales = [runner.output_details()[each.name]["quantization"][0] for each in file.outputs]
    predicted, found = (frameworks.arrays_of(each.answers, empty.store.path) for each in (aware.model, file))
    for expected, answers, scale in zip(predicted, found, scales, strict=True):
        steps = np.abs(answers - expected).reshape(len(answers), -1).max(axis=1) / scale
        assert steps.mean() <= 0.5
