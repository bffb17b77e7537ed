"""Layers that have no 8-bit form are refused by name, with the reason, before anything is trained."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from pipeline import compress
from pipeline.compress.context import Dataset
from pipeline.errors import StageError
from tests.pipeline.compress.fake_quantize.nets import ROWS, adapted, at_the_input, image, rows_of, sequence

pytestmark = pytest.mark.frameworks


REFUSED = {
    "Conv3D in groups": (lambda: volume(layers.Conv3D(2, 2, groups=2, name="it")), "three-dimensional convolution in groups"),
    "AveragePooling3D": (lambda: volume(layers.AveragePooling3D(2, name="it")), "rounded twice"),
    "Masking": (lambda: sequence(layers.Masking(name="it")), "other rows may be equal to it"),
    "Conv3DTranspose": (lambda: volume(layers.Conv3DTranspose(2, 2, name="it")), "LiteRT has no 8-bit kernel for it"),
    "LSTM of many steps": (lambda: long(layers.LSTM(3, name="it")), "runs over 65 steps, and the pass writes out at most 64"),
    "GRU that carries its state": (lambda: carrying(layers.GRU(3, stateful=True, name="it")), "carries its state from batch to batch"),
    "LSTM with a state": (lambda: sequence(lambda x: layers.LSTM(8, name="it")(x, initial_state=[x[:, 0], x[:, 1]])), "begins with a tensor"),
    "LSTM, softsign": (lambda: sequence(layers.LSTM(3, "softsign", name="it")), "no 8-bit form of the activation 'softsign'"),
    "Bidirectional with states": (
        lambda: sequence(lambda x: layers.Bidirectional(layers.GRU(3, return_state=True), name="it")(x)[0]), "the states of both directions",
    ),
    "attention that looks back only": (
        lambda: sequence(lambda x: layers.MultiHeadAttention(2, 4, name="it")(x, x, use_causal_mask=True)), "with a mask \\(use_causal_mask\\)",
    ),
    "attention whose scores are used": (
        lambda: sequence(lambda x: layers.MultiHeadAttention(2, 4, name="it")(x, x, return_attention_scores=True)[0]), "its scores are used",
    ),
    "LayerNormalization of steps": (lambda: sequence(layers.LayerNormalization(axis=1, name="it")), "normalises along axis 1"),
    "UnitNormalization of rows": (lambda: image(layers.UnitNormalization(axis=(1, 2, 3), name="it")), "normalises along axis 1, 2, 3"),
    "LayerNormalization of an open length": (lambda: open_length(layers.LayerNormalization(name="it")), "rows of an open size"),
    "SpectralNormalization": (
        lambda: image(layers.SpectralNormalization(layers.Conv2D(4, 3), name="it")), "does not know this kind of layer",
    ),
    "softplus": (lambda: image(layers.Activation("softplus", name="it")), "no 8-bit form of the activation 'softplus'"),
    "SeparableConv1D, softplus": (
        lambda: sequence(layers.SeparableConv1D(8, 3, activation="softplus", name="it")), "no 8-bit form of the activation 'softplus'",
    ),
    "Normalization along another axis": (lambda: at_the_input(adapted(axis=1, name="it")), "normalises along axis 1"),
    "Resizing by area": (lambda: image(layers.Resizing(4, 4, "bicubic", name="it")), "resizes by 'bicubic'"),
    "Resizing that crops": (lambda: image(layers.Resizing(4, 4, crop_to_aspect_ratio=True, name="it")), "keeps the aspect ratio"),
    "pad with ones": (
        lambda: image(lambda x: named(ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), constant_values=1))), "something else than zeros",
    ),
    "maximum of an array": (
        lambda: image(lambda x: named(ops.maximum(x, np.arange(1, 9, dtype=np.float32)))), "an array of constants",
    ),
    "attention over masked steps": (
        lambda: masked(lambda x: layers.MultiHeadAttention(2, 4, name="it")(x, x)), "scores of masked steps far below all others",
    ),
    "softmax over masked steps": (lambda: masked(layers.Softmax(axis=1, name="it")), "scores of masked steps far below all others"),
    "a model inside, of masked steps": (
        lambda: masked(keras.Sequential([keras.Input((8, 4)), layers.LSTM(3)], name="it")), "some steps of its rows are masked",
    ),
    "zeros for masked steps": (
        lambda: masked(layers.LSTM(3, return_sequences=True, zero_output_for_mask=True, name="it")), "it gives zeros for masked steps",
    ),
    "Embedding of floats": (lambda: words(layers.Embedding(20, 4, name="it"), "float32"), "rounded like any other"),
    "EinsumDense": (lambda: sequence(layers.EinsumDense("abc,bcd->abd", (8, 6), name="it")), "not what a Dense layer computes"),
    "TimeDistributed": (lambda: sequence(layers.TimeDistributed(layers.BatchNormalization(), name="it")), "a BatchNormalization for each"),
    "Dot": (lambda: sequence(lambda x: layers.Dot(2, normalize=True, name="it")([x, x])), "divides by lengths"),
    "channels first": (lambda: image(layers.MaxPooling2D(2, data_format="channels_first", name="it")), "not on the last axis"),
}  # fmt: skip


def named(x):
    x._keras_history.operation.name = "it"
    return x


def long(layer):
    x = keras.Input((65, 2), name="rows")
    return keras.Model(x, layer(x))


def open_length(layer):
    x = keras.Input((None, 8), name="rows")
    return keras.Model(x, layers.GlobalMaxPooling1D()(layer(x)))


def carrying(layer):
    x = keras.Input(batch_shape=(4, 3, 2), name="rows")
    return keras.Model(x, layer(x))


def volume(layer):
    x = keras.Input((4, 4, 4, 2), name="rows")
    return keras.Model(x, layers.Flatten()(layer(x)))


def words(layer, dtype="int32"):
    x = keras.Input((8,), dtype=dtype, name="rows")
    return keras.Model(x, layers.Dense(2)(layers.GlobalMaxPooling1D()(layer(x))))


def masked(middle):
    x = keras.Input((8,), dtype="int32", name="rows")
    y = middle(layers.Embedding(20, 4, mask_zero=True)(x))
    return keras.Model(x, layers.Dense(2)(layers.Flatten()(y)))


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_8_bit_form_is_refused_by_name_before_training(kind):
    make, why = REFUSED[kind]
    model = make()
    training = Dataset(rows_of(model), np.zeros(ROWS, np.int64))
    with pytest.raises(StageError, match=rf"cannot compute layer 'it' \(\w+\) in 8 bits: .*{why}") as caught:
        compress.apply(model, "quantize_aware", training=training, recover={"epochs": 1})
    assert "docs/passes.md" in caught.value.hint
