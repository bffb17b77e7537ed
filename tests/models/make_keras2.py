"""Make the files of this folder with tf_keras, which no test needs: pip install --no-deps tf_keras; python make.py.

Of each net: `name.h5` and `name.keras` as Keras 2 writes them, and in answers.npz its rows (`name/<input>`) and answers (`name/<output>`).
`legacy/` is a SavedModel of the net `nested`. `compiled` has no rows: a net of two heads with the losses of its training.
"""

import os
from pathlib import Path

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers as L  # noqa: N812 - the nets below are long enough

HERE = Path(__file__).parent / "keras2"


def convolutions():
    x = L.Input((8, 8, 3), name="picture")
    h = L.DepthwiseConv2D(3, name="depthwise")(x)
    h = L.BatchNormalization()(h)
    h = L.ReLU(6.0)(h)
    h = L.SeparableConv2D(4, 3, depth_multiplier=2)(h)
    h = L.LeakyReLU(0.1)(h)
    h = L.Conv2DTranspose(4, 2, strides=2)(h)
    h = L.PReLU(shared_axes=[1, 2])(h)
    h = L.ThresholdedReLU(0.05)(h)
    h = L.UpSampling2D(2, interpolation="bilinear")(h)
    h = L.Activation(tf.nn.swish)(h)
    h = L.GlobalAveragePooling2D(keepdims=True)(h)
    h = L.Flatten()(h)
    return tf_keras.Model(x, L.Dense(3, activation=tf.nn.softmax, name="classes")(h))


def recurrent():
    return tf_keras.Sequential(
        [
            L.Bidirectional(L.GRU(3, return_sequences=True), input_shape=(5, 2), name="both"),
            L.GRU(3, return_sequences=True, reset_after=False),
            L.LSTM(3, return_sequences=True, implementation=1),
            L.SimpleRNN(3, return_sequences=True),
            L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_sequences=True),
            L.TimeDistributed(L.Dense(2)),
            L.LSTM(3),
            L.Dense(2, name="last"),
        ]
    )


def attention():
    tokens, mask = L.Input((6,), dtype="int32", name="tokens"), L.Input((4,), name="extra")
    h = L.Embedding(11, 4, input_length=6)(tokens)
    h = L.Add()([h, L.MultiHeadAttention(2, 3)(h, h)])
    h = L.LayerNormalization()(h)
    h = L.Attention(use_scale=True)([h, h])
    h = L.GlobalAveragePooling1D()(h)
    h = L.Concatenate()([h, mask])
    h = L.Dropout(0.2, noise_shape=(None, 1))(h)
    return tf_keras.Model([tokens, mask], [L.Dense(2, name="score")(h), L.Dense(1, name="value")(h)])


def sequences():
    x = L.Input((12, 3), name="sound")
    h = L.ZeroPadding1D(1)(x)
    h = L.Conv1D(4, 3, dilation_rate=2)(h)
    h = L.DepthwiseConv1D(3)(h)
    h = L.SeparableConv1D(4, 3)(h)
    h = L.Conv1DTranspose(4, 2)(h)
    h = L.SpatialDropout1D(0.1)(h)
    h = L.GaussianNoise(0.1)(h)
    h = L.GroupNormalization(2)(h)
    h = L.MaxPooling1D(2)(h)
    h = L.ELU()(h)
    return tf_keras.Model(x, L.Softmax()(h), name="sequences")


def videos():
    x = L.Input((3, 6, 6, 1), name="video")
    h = L.ConvLSTM2D(2, 3, return_sequences=True)(x)
    h = L.Conv3D(2, 2)(h)
    h = L.Conv3DTranspose(2, 2)(h)
    h = L.AveragePooling3D(2)(h)
    return tf_keras.Model(x, L.Flatten()(h))


def nested():
    part = L.Input((4,), name="part")
    tower = tf_keras.Model(part, L.BatchNormalization()(L.Dense(3, activation="relu6")(part)), name="tower")
    left, right = L.Input((4,), name="left"), L.Input((4,), name="right")
    inner = tf_keras.Sequential(
        [L.Dense(3), L.BatchNormalization(), L.Dense(3), L.ReLU(negative_slope=0.1)], name="inner"
    )
    inner.build((None, 3))
    inner.trainable = False
    h = L.Subtract()([tower(left), tower(right)])
    return tf_keras.Model({"left": left, "right": right}, {"distance": L.Dense(1, name="distance")(inner(h))})


def prepared():
    x = L.Input((8, 8, 3), name="picture")
    h = L.RandomFlip("horizontal")(x)
    h = L.RandomRotation(0.1)(h)
    h = L.Rescaling(1 / 127.5, offset=-1)(h)
    h = L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(h)
    h = L.Resizing(6, 6)(h)
    h = L.CenterCrop(4, 4)(h)
    return tf_keras.Model(x, L.Conv2D(2, 3, padding="same")(h))


def half():
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        x = L.Input((4,), name="x")
        return tf_keras.Model(x, L.Dense(2, dtype="float32", name="y")(L.Dense(8, activation="relu")(x)))
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


def functions():
    """What TensorFlow's functions leave in a Functional model: TFOpLambda and SlicingOpLambda."""
    x = L.Input((4, 4, 2), name="x")
    h = L.ReLU(6.0)(L.Conv2D(2, 1)(x) + 3.0) * (1.0 / 6.0)
    h = tf.reduce_mean(h[:, 1:3, :, :1], axis=[1, 2])
    return tf_keras.Model(x, L.Dense(2)(h))


def gates():
    """hard_sigmoid, which is another function in Keras 3."""
    x = L.Input((6, 4), name="x")
    h = L.LSTM(3, return_sequences=True, recurrent_activation="hard_sigmoid")(x)
    h = L.Bidirectional(L.GRU(3, return_sequences=True, recurrent_activation="hard_sigmoid"))(h)
    h = L.SeparableConv1D(4, 2, activation="hard_sigmoid")(h)
    h = L.Activation("hard_sigmoid")(h)
    h = L.SimpleRNN(3, activation="hard_sigmoid", return_sequences=True)(h)
    h = L.TimeDistributed(L.Dense(2, activation="hard_sigmoid"))(h)
    return tf_keras.Model(x, L.DepthwiseConv1D(2, activation="hard_sigmoid", name="last")(h))


def translator():
    """Masks, states that are passed on, names with a slash, branches of one shape."""
    heard, said = L.Input((5,), name="heard"), L.Input((4,), name="said")
    _, h, c = L.LSTM(3, return_state=True, name="encoder/lstm")(L.Embedding(9, 4, mask_zero=True)(heard))
    y = L.LSTM(3, return_sequences=True)(L.Embedding(9, 4, mask_zero=True)(said), initial_state=[h, c])
    left, right = L.Dense(3, name="b/left")(y), L.Dense(3, name="a/right")(y)
    return tf_keras.Model([heard, said], [L.GlobalAveragePooling1D(name="mean")(L.Concatenate()([left, right])), right])


def masked():
    """A mask that goes through a model inside the model, as it does not in Keras 3."""
    x = L.Input((4,), name="x")
    h = tf_keras.Sequential([L.Dense(2)], name="inner")(L.Embedding(9, 4, mask_zero=True)(x))
    return tf_keras.Model(x, L.GlobalAveragePooling1D()(h))


def code():
    x = L.Input((4,), name="x")
    return tf_keras.Model(x, L.Lambda(lambda rows: rows * 2)(x))


def unknown():
    """A function of TensorFlow that keras.ops does not have."""
    x = L.Input((4,), name="x")
    return tf_keras.Model(x, tf.math.bessel_i0(L.Dense(2)(x)))


def write_compiled():
    x = L.Input((8,), name="x")
    hidden = L.Dense(4, activation="relu")(x)
    model = tf_keras.Model(x, [L.Dense(3, name="kind")(hidden), L.Dense(1, name="size")(hidden)])
    loss = {"kind": tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mae"}
    model.compile("adam", loss, loss_weights={"kind": 0.5, "size": 2.0})
    model.save(HERE / "compiled.h5")
    model.save(HERE / "compiled.keras")


def rows_of(model, rng):
    def of(tensor):
        shape = (3, *tensor.shape[1:])
        if tensor.dtype.is_integer or tensor.name in {"heard", "said"}:
            return rng.integers(0, 9, shape).astype(tensor.dtype.as_numpy_dtype)
        return rng.normal(size=shape).astype(np.float32)

    return {tensor.name: of(tensor) for tensor in model.inputs}


def main():
    tf_keras.utils.set_random_seed(7)
    rng, kept = np.random.default_rng(7), {}
    for make in (
        convolutions, recurrent, attention, sequences, videos, nested, prepared, half, functions, gates, translator,
        masked, code, unknown,
    ):  # fmt: skip
        name, model = make.__name__, make()
        for weight in model.weights:  # zeros and ones would hide weights that change places
            if weight.dtype.is_floating and "seed" not in weight.name:
                weight.assign(weight + tf.random.uniform(weight.shape, 0, 0.3, dtype=weight.dtype))
        rows = rows_of(model, rng)
        answers = model(rows if len(rows) > 1 else next(iter(rows.values())), training=False)
        answers = dict(zip(model.output_names, tf.nest.flatten(answers), strict=True))
        kept |= {f"{name}/{key}": np.asarray(value) for key, value in (rows | answers).items()}
        model.save(HERE / f"{name}.h5")
        model.save(HERE / f"{name}.keras")
        if make is nested:
            model.save(HERE / "legacy", save_format="tf")
    write_compiled()
    np.savez_compressed(HERE / "answers.npz", **kept)


if __name__ == "__main__":
    main()
