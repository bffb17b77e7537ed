"""The nets of `nets` that take more than a line; `k` is the module keras, which is imported where they are built."""


def line(k, *layers, shape=(16,), **more):
    """A model whose layers follow one another."""
    return k.Sequential([k.Input(shape, **more), *layers])


def image(k, *layers, shape=(12, 12, 3)):
    return line(k, *layers, k.layers.GlobalAveragePooling2D(), k.layers.Dense(4), shape=shape)


def two(k, merge):
    """Two inputs of one shape, merged after a layer of each."""
    a, b = k.Input((8,), name="left"), k.Input((8,), name="right")
    return k.Model([a, b], k.layers.Dense(3)(merge([k.layers.Dense(6)(a), k.layers.Dense(6)(b)])))


def heads(k):
    x = k.Input((10,), name="features")
    hidden = k.layers.Dense(8, "relu")(x)
    return k.Model(x, [k.layers.Dense(3, "softmax", name="label")(hidden), k.layers.Dense(1, name="score")(hidden)])


def dictionary(k):
    ids, extra = k.Input((5,), dtype="int32", name="tokens"), k.Input((4,), name="extra")
    words = k.layers.GlobalAveragePooling1D()(k.layers.Embedding(20, 6)(ids))
    joined = k.layers.Concatenate()([words, extra])
    return k.Model(
        {"tokens": ids, "extra": extra}, {"score": k.layers.Dense(2)(joined), "embedding": k.layers.Dense(7)(joined)}
    )


def shared(k):
    a, b, tower = k.Input((6,), name="a"), k.Input((6,), name="b"), k.layers.Dense(5, "relu")
    return k.Model([a, b], k.layers.Dot(-1, normalize=True)([tower(a), tower(b)]))


def residual(k):
    x = k.Input((10, 10, 4))
    y = k.layers.BatchNormalization()(k.layers.Conv2D(4, 3, padding="same", use_bias=False)(x))
    return k.Model(x, k.layers.Flatten()(k.layers.ReLU()(k.layers.Add()([x, y]))))


def pyramid(k):
    """Outputs of several sizes, as detectors have them."""
    x = k.Input((16, 16, 3), name="image")
    large = k.layers.Conv2D(6, 3, 2, "same", activation="relu")(x)
    small = k.layers.Conv2D(6, 3, 2, "same", activation="relu")(large)
    boxes = [k.layers.Reshape((-1, 4))(k.layers.Conv2D(8, 1)(each)) for each in (large, small)]
    scores = [k.layers.Reshape((-1, 3))(k.layers.Conv2D(6, 1)(each)) for each in (large, small)]
    joined = [k.layers.Concatenate(1)(each) for each in (boxes, scores)]
    return k.Model(x, [joined[0], k.layers.Activation("sigmoid")(joined[1])])


def attention(k, **causal):
    x = k.Input((7, 8))
    y = k.layers.LayerNormalization()(x + k.layers.MultiHeadAttention(2, 4)(x, x, **causal))
    return k.Model(x, k.layers.GlobalAveragePooling1D()(y))


def cross(k):
    query, memory = k.Input((4, 8), name="query"), k.Input((9, 8), name="memory")
    return k.Model([query, memory], k.layers.Attention()([query, memory]))


def grouped(k):
    x = k.Input((7, 8))
    return k.Model(x, k.layers.GroupQueryAttention(4, 4, 2)(x, x))


def masked(k):
    ids = k.Input((6,), dtype="int32")
    return k.Model(ids, k.layers.Dense(2)(k.layers.LSTM(5)(k.layers.Embedding(12, 4, mask_zero=True)(ids))))


def states(k):
    """A recurrent layer that takes and gives its state, as streaming models do."""
    x, h, c = k.Input((1, 4), name="x"), k.Input((5,), name="h"), k.Input((5,), name="c")
    y, hn, cn = k.layers.LSTM(5, return_state=True)(x, initial_state=[h, c])
    return k.Model([x, h, c], [k.layers.Dense(2)(y), hn, cn])


def functions(k):
    x = k.Input((6, 6, 2))
    y = k.ops.transpose(x[:, 1:5], (0, 2, 1, 3)) * 2.0 - k.ops.mean(x, axis=(1, 2, 3), keepdims=True)
    return k.Model(x, k.ops.reshape(k.ops.maximum(y, 0.1), (-1, 48)))


def mixed(k, *layers, shape=(12, 12, 3)):
    k.mixed_precision.set_global_policy("mixed_float16")
    try:
        return line(k, *(each() for each in layers), shape=shape)
    finally:
        k.mixed_precision.set_global_policy("float32")


def batch(k):
    x = k.Input(batch_shape=(3, 5))
    return k.Model(x, k.layers.Dense(2)(x))


def nested(k):
    inner = line(k, k.layers.Dense(6, "relu"), k.layers.Dense(4), shape=(8,))
    x = k.Input((8,))
    return k.Model(x, k.layers.Softmax()(inner(x)))


def passed(k):
    """An input that comes out as it is, next to a result."""
    x = k.Input((4,), name="x")
    return k.Model(x, [k.layers.Identity()(x), k.layers.Dense(2)(x)])


def scalar(k):
    """A row is one number."""
    x = k.Input(())
    return k.Model(x, x * 2.0 + 1.0)


def argmax(k):
    x = k.Input((9,))
    return k.Model(x, k.ops.argmax(k.layers.Dense(5)(x), axis=-1))
