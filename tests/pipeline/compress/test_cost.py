"""Multiply-accumulates, against counts worked by hand."""

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
