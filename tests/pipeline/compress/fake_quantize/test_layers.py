"""Every kind of layer that quantize_aware knows: the int8 file answers as the fake-quantized model does, operator by operator."""

import functools
import tempfile
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
from keras import layers, ops

from pipeline import compress, frameworks
from pipeline.compress.context import Dataset
from pipeline.compress.fake_quantize.expand import EXPANDED, activations
from pipeline.compress.fake_quantize.functions import REWRITTEN
from pipeline.frameworks import fake_quantization
from tests.pipeline.compress.answering import all_answers
from tests.pipeline.compress.fake_quantize.nets import (
    adapted,
    alpha,
    called_twice,
    conv,
    decibels,
    drawn_affine,
    encoder,
    net,
    normalised,
    rows_of,
    twice,
    twice_given,
    words,
)
from tests.pipeline.compress.rounded_files import int8_file

pytestmark = pytest.mark.frameworks

ARRAY = np.linspace(-0.7, 2, 8).astype(np.float32)

AT_THE_INPUT = {
    "Normalization": adapted,
    "Normalization, one for all": lambda: adapted(axis=None),
    "Normalization, inverted": lambda: adapted(invert=True),
    "Rescaling": lambda: layers.Rescaling(1 / 127.5, -1),
    "Rescaling of channels": lambda: layers.Rescaling([1.0, 2, 0.5], [0.0, 1, 2]),
}  # fmt: skip


ON_IMAGES = {
    "PReLU": alpha,
    "ELU": lambda: layers.ELU(0.5),
    "gelu": lambda: conv(activation="gelu"),
    "hard-swish": lambda: conv(activation="hard_silu"),
    "hard_sigmoid": lambda: layers.Activation("hard_sigmoid"),
    "silu of keras.ops": lambda: ops.silu,
    "SeparableConv2D": lambda: layers.SeparableConv2D(8, 3, strides=2, padding="same"),
    "Conv2D in groups": lambda: conv(groups=2),
    "Conv2DTranspose": lambda: layers.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu"),
    "UpSampling2D, bilinear": lambda: layers.UpSampling2D(2, interpolation="bilinear"),
    "Resizing": lambda: layers.Resizing(6, 5),
    "pad": lambda: lambda x: ops.pad(x, ((0, 0), (1, 1), (2, 0), (0, 0))),
    "GlobalAveragePooling2D": lambda: layers.GlobalAveragePooling2D(keepdims=True),
    "with an array": lambda: lambda x: (x - ops.convert_to_tensor(ARRAY)) * ARRAY[::-1],
    "mean": lambda: lambda x: ops.mean(x, axis=(1, 2), keepdims=True),
    "Maximum": lambda: lambda x: layers.Maximum()([x, conv(activation=None)(x)]),
    "with a number": lambda: lambda x: 0.75 * x + 1.0 - ops.minimum(x, 2.0),
    "GroupNormalization": lambda: layers.GroupNormalization(2, **drawn_affine()),
    "LayerNormalization of pixels": lambda: layers.LayerNormalization(**drawn_affine()),
}  # fmt: skip

MORE_ON_IMAGES = {
    "elu in a convolution": lambda: conv(activation="elu"),
    "elu of keras.ops": lambda: ops.elu,
    "elu, called twice": lambda: twice(layers.Activation("elu")),
    "selu": lambda: layers.Activation("selu"),
    "gelu of keras.ops": lambda: ops.gelu,
    "gelu, exact": lambda: lambda x: ops.gelu(conv(activation=None)(x), approximate=False),
    "hard-swish of keras.ops": lambda: ops.hard_silu,
    "Conv2D in groups, normalised": lambda: lambda x: normalised(conv(groups=2, activation=None)(x)),
    "Conv2D, a group for each channel": lambda: conv(16, groups=8),
    "UpSampling2D": lambda: layers.UpSampling2D(2),
    "Resizing, nearest": lambda: layers.Resizing(12, 10, interpolation="nearest"),
    "GlobalMaxPooling2D": lambda: layers.GlobalMaxPooling2D(keepdims=True),
    "Average": lambda: lambda x: layers.Average()([x, conv()(x), conv()(x)]),
    "Add, three": lambda: lambda x: layers.Add()([x, conv()(x), conv()(x)]),
    "Multiply, three": lambda: lambda x: layers.Multiply()([x, conv()(x), conv()(x)]),
    "Minimum": lambda: lambda x: ops.minimum(x, conv(activation=None)(x)),
    "split": lambda: lambda x: ops.multiply(*ops.split(conv(16)(x), 2, axis=-1)),
    "transpose": lambda: lambda x: ops.transpose(x, (0, 2, 1, 3)),
    "GaussianNoise": lambda: layers.GaussianNoise(0.1),
    "GroupNormalization of each channel": lambda: layers.GroupNormalization(-1, scale=False, center=False),
}  # fmt: skip


# apart: what two of them have in common is computed once, and is then no PReLU of TFLite's
SECOND_PRELU = {"PReLU of channels": lambda: alpha(shared_axes=[1, 2])}


ON_SEQUENCES = {
    "SeparableConv1D": lambda: layers.SeparableConv1D(8, 3, strides=2, padding="same", activation="relu"),
    "SeparableConv1D with elu": lambda: layers.SeparableConv1D(8, 3, depth_multiplier=2, activation="elu"),
    "DepthwiseConv1D": lambda: layers.DepthwiseConv1D(3, depth_multiplier=2, activation="relu"),
    "DepthwiseConv1D, normalised": lambda: lambda x: normalised(layers.DepthwiseConv1D(3)(x)),
    "Conv1D in groups": lambda: layers.Conv1D(8, 3, groups=4),
    "Conv1DTranspose": lambda: layers.Conv1DTranspose(6, 3, strides=2, activation="relu"),
    "Conv1DTranspose, normalised": lambda: lambda x: normalised(layers.Conv1DTranspose(6, 3)(x)),
    "UpSampling1D": lambda: layers.UpSampling1D(2),
    "GlobalAveragePooling1D": layers.GlobalAveragePooling1D,
    "mean of steps": lambda: lambda x: ops.mean(x, axis=1),
    "sum": lambda: lambda x: ops.sum(x, axis=1),
    "max": lambda: lambda x: ops.max(x, axis=1),
    "EinsumDense": lambda: layers.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d", activation="relu"),
    "EinsumDense with ellipsis": lambda: layers.EinsumDense("...x,xy->...y", 6),
    "TimeDistributed": lambda: layers.TimeDistributed(layers.Dense(6, activation="elu")),
    "matmul": lambda: lambda x: ops.matmul(layers.Dense(8)(x), ops.transpose(layers.Dense(8)(x), (0, 2, 1))),
    "Dot": lambda: lambda x: layers.Dot(2)([x, layers.Dense(8)(x)]),
    "item": lambda: lambda x: x[:, 2:],
    "stack": lambda: lambda x: ops.reshape(ops.stack([x, x], axis=1), (-1, 16, 8)),
    "expand_dims and squeeze": lambda: lambda x: ops.squeeze(ops.expand_dims(x, 1), 1),
    "RepeatVector": lambda: lambda x: layers.RepeatVector(4)(layers.Flatten()(x)),
}  # fmt: skip


ON_TABLES = {
    "LayerNormalization of a table": lambda: lambda x: layers.LayerNormalization()(layers.Dense(16)(x)),
    "Normalization of a table": lambda: layers.Normalization(mean=[1.0, 2, 3, 4, 5], variance=[1.0, 4, 9, 0.01, 2]),
    "elu in a dense layer": lambda: layers.Dense(8, activation="elu"),
}  # fmt: skip

RECURRENT = {
    "LSTM": lambda: layers.LSTM(6, unroll=True),
    "GRU": lambda: layers.GRU(6, unroll=True),
}

MORE_RECURRENT = {
    "LSTM, every step": lambda: layers.LSTM(6, return_sequences=True, dropout=0.1, recurrent_dropout=0.1),
    "LSTM and its states": lambda: lambda x: layers.Concatenate()(layers.LSTM(6, return_state=True)(x)[1:]),
    "LSTM with hard sigmoid, backwards": lambda: layers.LSTM(6, recurrent_activation="hard_sigmoid", go_backwards=True),
    "GRU, reset before": lambda: layers.GRU(6, reset_after=False, return_sequences=True),
    "GRU without bias": lambda: layers.GRU(6, use_bias=False),
    "SimpleRNN": lambda: layers.SimpleRNN(6, activation="relu"),
    "Bidirectional": lambda: layers.Bidirectional(layers.GRU(4, return_sequences=True)),
    "Bidirectional, ave": lambda: layers.Bidirectional(layers.SimpleRNN(4), merge_mode="ave"),
}

ATTENTION = {
    "MultiHeadAttention": lambda: twice_given(layers.MultiHeadAttention(2, 4)),
    "MultiHeadAttention, other widths": lambda: twice_given(
        layers.MultiHeadAttention(3, 4, value_dim=5, output_shape=6, use_bias=False, dropout=0.1)
    ),
    "MultiHeadAttention and the sum": lambda: lambda x: x + layers.MultiHeadAttention(2, 4)(x, x),
}

NORMALIZED = {
    "LayerNormalization": lambda: layers.LayerNormalization(**drawn_affine()),
    "LayerNormalization, called twice": lambda: called_twice(layers.LayerNormalization(epsilon=1e-6)),
    "LayerNormalization, values alone": lambda: layers.LayerNormalization(scale=False, center=False),
    "RMSNormalization": layers.RMSNormalization,
    "UnitNormalization": layers.UnitNormalization,
}

IN_THREE_DIMENSIONS = {
    "Conv3D, same": lambda: layers.Conv3D(4, 3, strides=2, padding="same", activation="relu"),
    "MaxPooling3D": lambda: layers.MaxPooling3D((2, 3, 2), padding="same"),
    "GlobalAveragePooling3D": lambda: layers.GlobalAveragePooling3D(keepdims=True),
}

MORE_IN_THREE_DIMENSIONS = {
    "Conv3D": lambda: layers.Conv3D(4, (3, 2, 3), activation="relu"),
    "Conv3D, dilated": lambda: lambda x: normalised(layers.Conv3D(4, (2, 1, 1), dilation_rate=(2, 1, 1))(x)),
    "Conv3D of each slice": lambda: layers.Conv3D(4, (1, 3, 3)),
    "GlobalMaxPooling3D": layers.GlobalMaxPooling3D,
    "UpSampling3D": lambda: layers.UpSampling3D((2, 1, 2)),
    "ZeroPadding3D and Cropping3D": lambda: lambda x: layers.Cropping3D(1)(layers.ZeroPadding3D((2, 1, 0))(x)),
}

ON_TOKENS = {
    "Embedding": lambda: layers.Embedding(20, 8),
    "Embedding, one word": lambda: lambda x: layers.Embedding(20, 8)(x)[:, 0],
    "encoder": lambda: encoder,
    "GlobalAveragePooling1D of masked steps": lambda: lambda x: layers.GlobalAveragePooling1D()(words(x)),
}

MASKED = {
    "LSTM of masked steps": lambda: lambda x: layers.LSTM(6)(words(x)),
}

MORE_MASKED = {
    "GRU of masked steps": lambda: lambda x: layers.GRU(6, return_sequences=True)(words(x))[:, -1],
    "LSTM of masked steps, and a GRU": lambda: lambda x: layers.GRU(6)(layers.LSTM(6, return_sequences=True)(words(x))),
    "SimpleRNN of masked steps": lambda: lambda x: layers.SimpleRNN(6)(words(x)),
    "Bidirectional of masked steps": lambda: lambda x: layers.Bidirectional(layers.GRU(6, reset_after=False))(words(x)),
}

NETS = {
    "at the input": ((8, 8, 3), lambda: lambda x: x, AT_THE_INPUT),
    "on images": ((8, 8, 3), conv, ON_IMAGES),
    "on images, more": ((8, 8, 3), conv, MORE_ON_IMAGES),
    "on images, apart": ((8, 8, 3), conv, SECOND_PRELU),
    "on sequences": ((8, 4), lambda: layers.Conv1D(8, 3, padding="same", activation="relu"), ON_SEQUENCES),
    "recurrent": ((4, 4), lambda: lambda x: x, RECURRENT),
    "recurrent, more": ((4, 4), lambda: lambda x: x, MORE_RECURRENT),
    "attention": ((6, 8), lambda: layers.Dense(8), ATTENTION),
    "normalised": ((8, 4), lambda: layers.Conv1D(16, 3, padding="same"), NORMALIZED),
    "in three dimensions": ((5, 4, 4, 3), lambda: layers.Conv3D(4, 1), IN_THREE_DIMENSIONS),
    "in three dimensions, more": ((5, 4, 4, 3), lambda: layers.Conv3D(4, 1), MORE_IN_THREE_DIMENSIONS),
    "on tables": ((5,), lambda: lambda x: x, ON_TABLES),
    "on tokens": ((8,), lambda: lambda x: x, ON_TOKENS),
    "on tokens, masked": ((4,), lambda: lambda x: x, MASKED),
    "on tokens, masked, more": ((4,), lambda: lambda x: x, MORE_MASKED),
}
"""Shape of a row, what comes first, and kinds of layers, each with a head of its own: one file has them all."""

LONG = {"on images, more", "recurrent, more", "on tokens, masked, more", "in three dimensions, more"}
"""Converted with --whole only: a minute each."""

KINDS = [
    pytest.param(net, kind, marks=[pytest.mark.whole] if net in LONG else [])
    for net, (_, _, kinds) in NETS.items()
    for kind in kinds
]

ROUND_OTHERWISE = {"UpSampling2D, bilinear": 3, "Resizing": 3} | dict.fromkeys(ATTENTION, 0.5)
"""Steps of the output: LiteRT's kernel for it rounds halves another way, and the layers after it make a little more of that. Attention is a
chain of ten operators, each of which rounds.
"""


class Compared(NamedTuple):
    """One head, of every row."""

    steps: np.ndarray  # between the int8 file and the fake-quantized model, of the file's output
    rounded_db: float  # of the fake-quantized model against the model as it was
    plain_db: float  # without ranges, which the other formats are made of


@functools.cache
def compared(name):
    shape, first, kinds = NETS[name]
    dtype = "int32" if name.startswith("on tokens") else "float32"
    keras.utils.set_random_seed(0)  # layers draw the seeds of their weights when they are made
    model = net(shape, first(), [make() for make in kinds.values()], dtype)
    x = rows_of(model)
    rounded = compress.apply(model, "quantize_aware", calibration=Dataset(x)).changed.model
    with tempfile.TemporaryDirectory() as folder:
        file = frameworks.Tflite(int8_file(rounded, Path(folder)), "int8")
        found = dict(
            zip(
                [each.name for each in file.outputs],
                map(np.concatenate, zip(*(file.run({"rows": row[None]}) for row in x), strict=True)),
                strict=True,
            )
        )
        scales = {key: each["quantization"][0] for key, each in file.output_details().items()}
    answered = [all_answers(each, x) for each in (model, rounded, fake_quantization.plain(rounded))]
    heads = {}
    for kind, key, was, now, plain in zip(kinds, rounded.output_names, *answered, strict=True):
        steps = np.abs(found[key] - now).max(axis=1) / scales[key]
        heads[kind] = Compared(steps, decibels(was, now), decibels(was, plain))
    return heads


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_the_int8_file_answers_as_the_model_does(name, kind):
    head = compared(name)[kind]
    assert head.steps.mean() <= ROUND_OTHERWISE.get(kind, 0.3)
    assert head.rounded_db > 25
    assert head.plain_db > 30


def test_each_function_has_its_form():
    assert set(activations.FORMS) == REWRITTEN


def test_each_expansion_has_its_case():
    names = " ".join(kind for _, _, kinds in NETS.values() for kind in kinds)
    assert not [kind for kind in EXPANDED if kind not in names]
