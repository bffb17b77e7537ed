"""Surgery on every kind of layer and of graph: the smaller model answers what the original answers without those channels."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from pipeline.compress.surgery import groups_of, prune_model
from tests.pipeline.compress.surgery.cut import HALF, after_conv, check, classes, conv, image, sequence

pytestmark = pytest.mark.frameworks


def adapted():
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(2).normal(1, 2, (20, 8, 8, 16)).astype(np.float32))
    return layer


def conv_1d(**more):
    return layers.Conv1D(12, 3, padding="same", activation="elu", **more)


MIDDLES = {
    "batch norm": lambda: [layers.BatchNormalization(), layers.ReLU()],
    "layer norm": lambda: [layers.LayerNormalization()],
    "rms norm": lambda: [layers.RMSNormalization()],
    "group norm": lambda: [layers.GroupNormalization(8)],
    "instance norm": lambda: [layers.GroupNormalization(-1)],
    "depthwise": lambda: [layers.DepthwiseConv2D(3, activation="relu")],
    "depthwise, several filters a channel": lambda: [layers.DepthwiseConv2D(3, depth_multiplier=2), layers.ReLU()],
    "separable": lambda: [layers.SeparableConv2D(12, 3, depth_multiplier=2, activation="gelu")],
    "transposed": lambda: [layers.Conv2DTranspose(12, 3, strides=2, activation="relu")],
    "grouped": lambda: [conv(16, groups=4)],
    "grouped, one channel in each": lambda: [conv(32, groups=16)],
    "prelu": lambda: [layers.PReLU()],
    "prelu, shared": lambda: [layers.PReLU(shared_axes=[1, 2])],
    "pooling": lambda: [layers.MaxPooling2D(2), layers.AveragePooling2D(2)],
    "resized": lambda: [layers.ZeroPadding2D(1), layers.Cropping2D(1), layers.UpSampling2D(2)],
    "random": lambda: [layers.SpatialDropout2D(0.3), layers.GaussianNoise(0.1), layers.Dropout(0.2)],
    "dense on images": lambda: [layers.Dense(12, activation="relu")],
    "reshaped and back": lambda: [layers.Reshape((64, 16)), layers.Reshape((4, 16, 16))],
    "normalised once": lambda: [adapted()],
    "normalised once, all alike": lambda: [layers.Normalization(mean=0.5, variance=2.0)],
    "other sizes": lambda: [layers.Resizing(5, 6), layers.UpSampling2D(2, interpolation="bilinear")],
    "bent": lambda: [
        layers.ELU(0.5),
        layers.Activation("hard_silu"),
        layers.Activation("gelu"),
        layers.Rescaling(2.0, -1.0),
    ],
    "mean kept": lambda: [layers.GlobalAveragePooling2D(keepdims=True)],
    "turned": lambda: [layers.Permute((2, 1, 3))],
    "spatial squeeze": lambda: [layers.Conv2D(1, 1)],
}


@pytest.mark.parametrize("name", MIDDLES)
def test_between_two_convolutions(name):
    check(after_conv(*MIDDLES[name]()))


SEQUENCES = {
    "lstm": lambda: [layers.LSTM(12, return_sequences=True), layers.LSTM(10)],
    "gru": lambda: [layers.GRU(12, return_sequences=True), layers.GRU(10, reset_after=False)],
    "simple": lambda: [layers.SimpleRNN(12)],
    **{
        f"bidirectional, {mode}": lambda mode=mode: [
            layers.Bidirectional(layers.LSTM(12, return_sequences=True), merge_mode=mode), layers.GRU(8),
        ]
        for mode in ("concat", "sum", "mul", "ave")
    },
    "bidirectional, two kinds": lambda: [layers.Bidirectional(layers.GRU(8), backward_layer=layers.GRU(8, go_backwards=True))],
    "dropout inside": lambda: [layers.LSTM(12, dropout=0.2, recurrent_dropout=0.2)],
    "time distributed": lambda: [layers.TimeDistributed(layers.Dense(12, activation="relu")), layers.GRU(8)],
    "convolutions": lambda: [
        layers.Conv1D(12, 3, padding="causal"), layers.SeparableConv1D(12, 3), layers.DepthwiseConv1D(2),
        layers.GlobalMaxPooling1D(),
    ],
    "over time": lambda: [layers.Permute((2, 1)), layers.Dense(8), layers.Permute((2, 1)), layers.GlobalAveragePooling1D()],
    "einsum": lambda: [layers.EinsumDense("abc,cd->abd", (None, 12), bias_axes="d", activation="relu"), layers.LSTM(8)],
    "einsum with ellipsis": lambda: [layers.EinsumDense("...x,xy->...y", 12, bias_axes="y"), layers.LSTM(8)],
    "other lengths": lambda: [layers.Conv1DTranspose(10, 3, strides=2), layers.UpSampling1D(2), conv_1d(groups=2)],
    "unrolled": lambda: [layers.LSTM(12, unroll=True, return_sequences=True), layers.GRU(10, unroll=True)],
    "flat": lambda: [layers.Flatten(), layers.Dense(12), layers.RepeatVector(3), layers.LSTM(8)],
}  # fmt: skip


@pytest.mark.parametrize("name", SEQUENCES)
def test_on_sequences(name):
    check(sequence(*SEQUENCES[name]()))


def test_volumes():
    given = keras.Input((6, 6, 6, 2))
    x = layers.MaxPooling3D()(layers.Conv3D(12, 3, padding="same", activation="relu")(given))
    check(keras.Model(given, layers.Dense(3)(layers.GlobalAveragePooling3D()(layers.Conv3DTranspose(8, 2)(x)))))


@pytest.mark.parametrize(
    "merge", [layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum]
)
def test_branches_that_meet_lose_the_same_channels(merge):
    given = image()
    x = layers.BatchNormalization()(conv()(given))
    model = keras.Model(given, classes(conv()(merge()([x, conv()(x)]))))
    check(model)
    assert any(len(group.layers) == 2 for group in groups_of(model))


def test_squeeze_and_excite_with_broadcasting():
    given = image()
    x = conv(16)(given)
    squeezed = layers.GlobalAveragePooling2D()(x)
    excited = layers.Dense(16, activation="sigmoid")(layers.Dense(8, activation="relu")(squeezed))
    check(keras.Model(given, classes(layers.Multiply()([x, layers.Reshape((1, 1, 16))(excited)]))))


@pytest.mark.parametrize("axis", [1, 3])
def test_stacked_branches(axis):
    given = image()
    x = ops.stack([conv()(given), conv()(given)], axis=axis)
    model = keras.Model(given, classes(ops.mean(conv()(ops.mean(x, axis=axis)), axis=(1, 2))))
    check(model)
    assert max(len(group.layers) for group in groups_of(model)) == 2


def test_statistics_of_the_input_hold_in_the_smaller_model_before_it_is_saved():
    norm = layers.Normalization()
    norm.adapt(np.random.default_rng(0).normal(5, 3, (50, 8, 8, 3)).astype(np.float32))
    given = image()
    smaller = prune_model(keras.Model(given, classes(conv()(norm(given)))), HALF).model
    assert np.array_equal(smaller.layers[1].mean, norm.mean)


@pytest.mark.parametrize("axis", [-1, 1])
def test_concatenation(axis):
    given = image()
    x = layers.Concatenate(axis=axis)([conv()(given), conv()(given), conv()(given)])
    model = keras.Model(given, classes(layers.Dense(8)(layers.BatchNormalization()(x))))
    check(model)
    assert max(len(group.layers) for group in groups_of(model)) == (1 if axis == -1 else 3)


def test_concatenation_with_an_input():
    given = image()
    check(keras.Model(given, classes(conv()(layers.Concatenate()([given, conv()(given)])))))


def test_flattened_channels():
    given = image()
    x = layers.Flatten()(
        conv()(layers.Flatten(data_format="channels_last")(given)[:, None, None, :] if False else given)
    )
    check(keras.Model(given, layers.Dense(4)(layers.Dense(24, activation="relu")(x))))


def test_gan_generator():
    noise = keras.Input((10,))
    x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(layers.Dense(4 * 4 * 16)(noise)))
    x = layers.Conv2DTranspose(16, 4, strides=2, padding="same")(layers.Reshape((4, 4, 16))(x))
    x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(x))
    model = keras.Model(noise, layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh")(x))
    pruned = check(model)
    assert pruned.layers[4].target_shape == (4, 4, 8)
    assert groups_of(model)[0].channels_before == 16


def block(x, heads=4):
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(heads, 4, dropout=0.1)(y, y)])
    y = layers.Dense(16)(layers.Dense(32, activation="gelu")(layers.LayerNormalization()(x)))
    return layers.Add()([x, y])


def test_transformer():
    tokens = keras.Input((7,), dtype="int32")
    x = layers.Embedding(20, 16)(tokens)
    model = keras.Model(tokens, layers.Dense(3)(layers.GlobalAveragePooling1D()(block(block(x)))))
    pruned = check(model, shrinks_to=0.4)
    heads = [layer for layer in pruned.layers if isinstance(layer, layers.MultiHeadAttention)]
    assert [layer.num_heads for layer in heads] == [2, 2]
    assert sorted(group.kind for group in groups_of(model)) == ["channels"] * 3 + ["heads"] * 2


def test_attention_between_two_sequences_of_different_width():
    one, other = keras.Input((6, 4)), keras.Input((5, 4))
    query, value = layers.Dense(16)(one), layers.Dense(12)(other)
    x, scores = layers.MultiHeadAttention(4, 4, value_dim=6)(query, value, return_attention_scores=True)
    model = keras.Model([one, other], [layers.Dense(3)(x), layers.Dense(2)(layers.GlobalAveragePooling1D()(x))])
    check(model)
    check(keras.Model([one, other], [layers.Dense(3)(x), scores]), shrinks_to=0.8)  # now the heads have to stay


@pytest.mark.parametrize("kind", [layers.Attention, layers.AdditiveAttention])
def test_attention_without_heads(kind):
    one, other = keras.Input((6, 4)), keras.Input((5, 4))
    x = kind()([layers.Dense(16)(one), layers.Dense(12)(other), layers.Dense(16)(other)])
    check(keras.Model([one, other], layers.Dense(3)(x)))


def test_states_that_are_handed_on():
    given, other = keras.Input((6, 4)), keras.Input((5, 4))
    _, h, c = layers.LSTM(12, return_state=True)(given)
    x = layers.LSTM(12)(other, initial_state=[h, c])
    model = keras.Model([given, other], layers.Dense(3)(x))
    check(model)
    assert len(groups_of(model)[0].layers) == 2


def test_bidirectional_states_and_separate_outputs():
    given = keras.Input((6, 4))
    x, h, _, _, c = layers.Bidirectional(layers.LSTM(8, return_sequences=True, return_state=True))(given)
    both = layers.Bidirectional(layers.GRU(6), merge_mode=None)(x)
    check(keras.Model(given, layers.Dense(3)(layers.Concatenate()([h, c, *both]))))
