"""Small networks of the kinds that passes on weights must take: recurrent, attention, a generator of images, a Sequential."""


def recurrent():
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    rows = keras.Input((8, 8))
    x = layers.LSTM(12, return_sequences=True, name="lstm")(rows)
    x = layers.Bidirectional(layers.GRU(6), name="gru")(x)
    return keras.Model(rows, layers.Dense(4, activation="softmax", name="scores")(x), name="recurrent")


def transformer():
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    tokens = keras.Input((10,), dtype="int32")
    x = layers.Embedding(30, 16, name="tokens")(tokens)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8, name="attention")(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(16, name="narrow")(layers.Dense(32, "gelu", name="wide")(x)))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(tokens, layers.Dense(4, activation="softmax", name="scores")(x), name="transformer")


def gan_generator():
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    noise = keras.Input((16,))
    x = layers.Reshape((4, 4, 16))(layers.Dense(256, use_bias=False, name="seed")(noise))
    x = layers.LeakyReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2DTranspose(8, 4, strides=2, padding="same", name="grow")(x)
    image = layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh", name="image")(x)
    return keras.Model(noise, image, name="generator")


def sequential():
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    body = [
        layers.SeparableConv2D(6, 3, activation="relu", name="stem"),
        layers.Flatten(),
        layers.Dense(8, name="hidden"),
    ]
    scores = layers.Dense(4, activation="softmax", name="scores")
    return keras.Sequential([keras.Input((8, 8, 2)), *body, scores], name="sequential")


def rows_of(model, count=40):
    """Rows that the model takes, drawn at random: numbers, or tokens below 30."""
    import numpy as np

    (x,) = model.inputs
    generator, shape = np.random.default_rng(0), (count, *x.shape[1:])
    return (generator.integers(0, 30, shape) if "int" in x.dtype else generator.normal(size=shape)).astype(x.dtype)
