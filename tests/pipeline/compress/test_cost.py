"""Multiply-accumulates, against counts worked by hand."""

import numpy as np
import pytest

from pipeline.compress import cost

pytestmark = pytest.mark.frameworks


def test_by_hand():
    import keras
    from keras import layers

    image = keras.Input((8, 6, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)  # 4 x 3 places, 3*3*3*4 each
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(layers.BatchNormalization()(x))  # 3*3*4*2
    x = layers.SeparableConv2D(5, 3, padding="same")(x)  # 3*3*8 + 8*5
    x = layers.Conv2D(10, 1, groups=5)(x)  # 1*10
    x = layers.Conv2DTranspose(2, 3, strides=2, padding="same")(x)  # at the 4 x 3 places of its input: 3*3*2*10
    x = layers.Dense(7)(layers.Flatten()(x))  # 8*6*2 * 7
    expected = 12 * 108 + 12 * 72 + 12 * (72 + 40) + 12 * 10 + 12 * 180 + 96 * 7
    assert cost.of_keras(keras.Model(image, x)) == expected


def test_recurrent_and_attention():
    import keras
    from keras import layers

    series = keras.Input((9, 4))
    x = layers.LSTM(6, return_sequences=True)(series)  # 9 * (4*24 + 6*24)
    x = layers.Bidirectional(layers.GRU(5, return_sequences=True))(x)  # 2 * 9 * (6*15 + 5*15)
    x = layers.MultiHeadAttention(2, 3)(x, x)  # 9 * 4*(10*6) + 9*9 * 2*(3+3)
    x = layers.TimeDistributed(layers.Dense(2))(x)  # 9 * 20
    expected = 9 * 240 + 18 * 165 + 9 * 240 + 81 * 12 + 180
    assert cost.of_keras(keras.Model(series, x)) == expected


def test_a_shared_layer_costs_as_often_as_it_is_called_and_a_nested_model_too():
    import keras
    from keras import layers

    shared, inner_input = layers.Dense(3), keras.Input((3,))
    inner = keras.Model(inner_input, layers.Dense(3)(inner_input))
    image = keras.Input((3,))
    outer = keras.Model(image, inner(inner(shared(shared(image)))))
    assert cost.of_keras(outer) == 4 * 9


def test_an_axis_of_unknown_length_has_no_cost():
    import keras
    from keras import layers

    series = keras.Input((None, 4))
    assert cost.of_keras(keras.Model(series, layers.LSTM(2)(series))) is None


def test_einsum_cross_attention_and_matmul():
    import keras
    from keras import layers

    series = keras.Input((6, 5))
    x = layers.EinsumDense("abc,cde->abde", (6, 3, 2))(series)  # 6 places, a kernel of 5*3*2
    assert cost.of_keras(keras.Model(series, x)) == 6 * 30
    query, value = keras.Input((3, 4)), keras.Input((50, 4))
    x = layers.MultiHeadAttention(2, 4)(query, value)  # kernels of 4*2*4
    projections = (3 + 50 + 50 + 3) * 32
    assert cost.of_keras(keras.Model([query, value], x)) == projections + 3 * 50 * 2 * (4 + 4)
    mask = keras.Input((3, 50), dtype="bool")  # by name the arguments come in another order
    x = layers.MultiHeadAttention(2, 4)(query=query, value=value, attention_mask=mask)
    assert cost.of_keras(keras.Model([query, value, mask], x)) == projections + 3 * 50 * 2 * (4 + 4)
    x = keras.ops.matmul(query, keras.ops.transpose(value, (0, 2, 1)))  # 3 x 4 by 4 x 50
    assert cost.of_keras(keras.Model([query, value], x)) == 3 * 50 * 4


def test_a_sequential_model_has_a_cost_and_an_unknown_layer_none():
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    assert cost.of_keras(model) == 12 + 6
    x = layers.LayerNormalization(axis=(1, 2))(keras.Input((3, 4)))  # its weights have two axes and multiply no matrix
    assert cost.of_keras(keras.Model(x._keras_history.operation.input, x)) == 0
    left, right = keras.Input((3, 4)), keras.Input((3, 4))
    assert cost.of_keras(keras.Model([left, right], layers.Dot(axes=2)([left, right]))) is None
    assert cost.of_keras(keras.Model([left, right], layers.Attention()([left, right]))) is None
    assert cost.of_keras(keras.Model(left, keras.ops.matmul(np.ones((1, 5, 3), np.float32), left))) is None
    assert cost.of_keras(keras.Sequential([layers.Dense(3)])) is None  # not built: no graph yet


def test_a_sequential_model_goes_through_a_plan(tiny):
    import keras

    from tests.support.tiny_model import through

    model = keras.models.load_model(tiny.folder / "tiny.keras")
    keras.Sequential([keras.Input((8, 8, 1)), model, keras.layers.Rescaling(1.0)]).save(tiny.folder / "tiny.keras")
    text = (
        '[model]\npath = "tiny.keras"\n[data]\nevaluation = "evaluation.npz"\n'
        '[[compress]]\npass = "prune_weights"\nsparsity = 0.5\n[convert]\nformats = ["tflite-fp32"]\n'
    )
    (report,) = through(tiny, text).compressed.passes
    assert report.multiply_accumulates_before == report.multiply_accumulates_after == cost.of_keras(model)
