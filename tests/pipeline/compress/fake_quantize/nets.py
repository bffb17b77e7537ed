"""Small nets around a layer, and rows for them."""

import keras
import numpy as np
from keras import layers

ROWS = 48


def twice(layer):
    return lambda x: layer(conv(activation=None)(layer(x)))


def called_twice(layer):
    return lambda x: layer(layers.Dense(16)(layer(x)))


def conv(filters=8, **more):
    return layers.Conv2D(filters, 3, **({"padding": "same", "activation": "relu"} | more))


def net(shape, first, middles, dtype="float32"):
    """One head for each of these parts, which all take what `first` gives."""
    keras.utils.set_random_seed(0)
    x = keras.Input(shape, dtype=dtype, name="rows")
    y = first(x)
    return keras.Model(x, [head(middle(y), f"head_{i}") for i, middle in enumerate(middles)])


def head(x, name=None):
    if len(x.shape) == 5:
        x = layers.GlobalAveragePooling3D()(x)
    if len(x.shape) == 4:
        x = layers.GlobalAveragePooling2D()(conv()(x))
    if len(x.shape) == 3:
        x = layers.GlobalAveragePooling1D()(x)
    return layers.Dense(4, name=name)(x)


def image(middle):
    return net((8, 8, 3), conv(), [middle])


def at_the_input(middle):
    return net((8, 8, 3), lambda x: x, [middle])


def sequence(middle):
    return net((8, 4), layers.Conv1D(8, 3, padding="same", activation="relu"), [middle])


def twice_given(layer):
    return lambda x: layer(x, x)


def adapted(axis=-1, **more):
    layer = layers.Normalization(axis=axis, **more)
    layer.adapt(np.random.default_rng(3).normal(2, [1, 3, 0.2], (40, 8, 8, 3)).astype(np.float32))
    return layer


def alpha(**more):
    return layers.PReLU(alpha_initializer=keras.initializers.RandomUniform(0, 0.5, seed=1), **more)


def drawn_affine():
    draw = keras.initializers.RandomUniform
    return {"gamma_initializer": draw(0.5, 1.5, seed=2), "beta_initializer": draw(-0.5, 0.5, seed=3)}


def words(tokens):
    """Some 0 among them are masked."""
    drawn = keras.initializers.RandomNormal(0, 1, seed=4)
    return layers.Embedding(20, 8, mask_zero=True, embeddings_initializer=drawn)(tokens)


def encoder(tokens):
    """A block of a transformer: words and their positions, attention, and a dense layer for each step."""
    steps, width = tokens.shape[1], 16
    at = np.arange(steps)[:, None] / 100 ** (np.arange(width) // 2 * 2 / width)
    positions = np.where(np.arange(width) % 2, np.cos(at), np.sin(at)).astype(np.float32)
    x = layers.Embedding(20, width, embeddings_initializer="normal")(tokens) * 4.0 + positions
    x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, layers.MultiHeadAttention(2, 8, dropout=0.1)(x, x)]))
    y = layers.Dropout(0.1)(layers.Dense(width)(layers.Dense(32, "gelu")(x)))
    return layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, y]))


def normalised(x):
    norm = layers.BatchNormalization()
    y = norm(x)
    generator = np.random.default_rng(x.shape[-1])
    for weight in norm.weights:
        weight.assign(generator.uniform(0.4, 1.6, weight.shape))
    return y


def rows_of(model):
    generator, (given,) = np.random.default_rng(1), model.inputs
    shape = (ROWS, *(size or 8 for size in given.shape[1:]))
    drawn = (
        generator.integers(0, 20, shape) * generator.integers(0, 3, shape).clip(0, 1)
        if "int" in given.dtype
        else generator.normal(size=shape)
    )
    return drawn.astype(given.dtype)


def decibels(expected, found):
    return 10 * np.log10(np.sum(expected**2) / np.sum((expected - found) ** 2))
