"""The rule of each kind of layer: what exactly it says of channels, compared with rules.txt line by line.

test_surgery.py tries the rules on models that run. These tests see what no model shows, and which of several reasons is told.
"""

import numpy as np
import pytest
from keras import Model, layers, ops

from pipeline.compress.surgery import Selection, prune_model
from pipeline.compress.surgery.rules import rule_of
from tests.pipeline.compress.surgery.ruled import expected, ruled

pytestmark = pytest.mark.frameworks

SAID = expected("rules.txt")


def relu(x):
    """By its name one of Keras's own."""
    return ops.relu(x)


class Own:
    def __call__(self, x):
        return ops.relu(x)


def layer_scale(width):
    from keras.src.applications.convnext import LayerScale

    return LayerScale(0.1, width)


CASES = {
    # convolution
    "Conv1D": lambda: (layers.Conv1D(3, 2), (5, [2])),
    "Conv2D": lambda: (layers.Conv2D(3, 1, activation="relu"), ([5], 6, [2])),
    "Conv2D on an image": lambda: (layers.Conv2D(3, 1, use_bias=False, activation="softmax"), (5, 6, 2)),
    "Conv2D, channels first": lambda: (layers.Conv2D(3, 1, data_format="channels_first"), ([2], [5], 6)),
    "Conv2D in groups": lambda: (layers.Conv2D(4, 1, groups=2), (5, 6, [8])),
    "Conv2D in groups on an image": lambda: (layers.Conv2D(4, 1, groups=2), (5, 6, 8)),
    "Conv2D, a group for each channel": lambda: (layers.Conv2D(6, 1, groups=3, activation="softmax"), (5, 6, [3])),
    "Conv2D, a group for each channel of an image": lambda: (layers.Conv2D(6, 1, groups=3, activation="softmax"), (5, 6, 3)),
    "Conv1D of one channel in one group": lambda: (layers.Conv1D(2, 1), (5, [1])),
    "Conv2DTranspose": lambda: (layers.Conv2DTranspose(3, 1, activation="softmax"), (5, 6, [2])),
    "DepthwiseConv2D": lambda: (layers.DepthwiseConv2D(1, depth_multiplier=2, activation="softmax"), (5, 6, [2])),
    "DepthwiseConv1D of an image": lambda: (layers.DepthwiseConv1D(1, activation="softmax"), (5, 2)),
    "SeparableConv2D": lambda: (layers.SeparableConv2D(3, 1, depth_multiplier=2, activation="softmax"), (5, 6, [2])),
    "SeparableConv1D of an image": lambda: (layers.SeparableConv1D(3, 1), (5, 2)),
    # dense
    "Dense": lambda: (layers.Dense(3, activation="softmax"), ([5], [2])),
    "Embedding": lambda: (layers.Embedding(9, 3), ([5],)),
    "EinsumDense": lambda: (layers.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d", activation="softmax"), ([5], [2])),
    "EinsumDense, several made": lambda: (layers.EinsumDense("abc,cde->abde", (5, 4, 3), bias_axes="de"), (5, [2])),
    "EinsumDense, bias before": lambda: (layers.EinsumDense("abc,cde->adbe", (4, 5, 3), bias_axes="de"), (5, [2])),
    "EinsumDense, without bias": lambda: (layers.EinsumDense("abc,cd->abd", (5, 3)), (5, [2])),
    "EinsumDense, only sums": lambda: (layers.EinsumDense("abc,c->ab", 5), (5, [2])),
    "EinsumDense, a factor a channel": lambda: (layers.EinsumDense("abc,bc->abc", (5, 2)), ([5], [2])),
    "EinsumDense, an ellipsis": lambda: (layers.EinsumDense("...x,xy->...y", 3, bias_axes="y"), ([4], [5], [2])),
    "EinsumDense, an ellipsis behind": lambda: (layers.EinsumDense("ax...,xy->ay...", (3, None, None), bias_axes="y"), ([2], [5], [4])),
    # normalisation
    "BatchNormalization": lambda: (layers.BatchNormalization(), ([5], [2])),
    "BatchNormalization along another axis": lambda: (layers.BatchNormalization(axis=1, scale=False), ([5], [2])),
    "LayerNormalization": lambda: (layers.LayerNormalization(), ([5], [2])),
    "LayerNormalization over two axes": lambda: (layers.LayerNormalization(axis=[1, 2], center=False), ([5], [2])),
    "RMSNormalization": lambda: (layers.RMSNormalization(), ([5], [2])),
    "GroupNormalization": lambda: (layers.GroupNormalization(2), ([5], [8])),
    "GroupNormalization of an image": lambda: (layers.GroupNormalization(2), ([5], 8)),
    "Normalization": lambda: (layers.Normalization(), ([5], [2])),
    "Normalization, one for all": lambda: (layers.Normalization(axis=None), ([5], [2])),
    "Normalization along two axes": lambda: (layers.Normalization(axis=(1, 2)), ([5], [2])),
    "Normalization by a given mean": lambda: (layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 1.0]), ([5], [2])),
    "PReLU": lambda: (layers.PReLU(), ([5], [2])),
    "PReLU, shared": lambda: (layers.PReLU(shared_axes=[1]), ([5], [2])),
    "LayerScale": lambda: (layer_scale(2), ([5], [2])),
    "LayerScale of an image": lambda: (layer_scale(2), ([5], 2)),
    # recurrent
    "LSTM": lambda: (layers.LSTM(3), ([5], [2])),
    "LSTM, sequences and states": lambda: (layers.LSTM(3, return_sequences=True, return_state=True, use_bias=False, activation="softmax"), (5, [2])),
    "LSTM, states given": lambda: (lambda x, h, c: layers.LSTM(3)(x, initial_state=[h, c]), (5, [2]), ([3],), (3,)),
    "GRU": lambda: (layers.GRU(3, recurrent_activation="softmax"), (5, [2])),
    "GRU, reset before": lambda: (layers.GRU(3, reset_after=False), (5, [2])),
    "GRU, state given": lambda: (lambda x, h: layers.GRU(3)(x, initial_state=h), (5, [2]), ([3],)),
    "SimpleRNN": lambda: (layers.SimpleRNN(3), (5, [2])),
    "Bidirectional": lambda: (layers.Bidirectional(layers.SimpleRNN(3)), ([5], [2])),
    "Bidirectional, sum": lambda: (layers.Bidirectional(layers.GRU(3, return_sequences=True), merge_mode="sum"), (5, [2])),
    "Bidirectional, not merged": lambda: (layers.Bidirectional(layers.GRU(3), merge_mode=None), (5, [2])),
    "Bidirectional, states": lambda: (layers.Bidirectional(layers.LSTM(3, return_state=True)), (5, [2])),
    "Bidirectional, states, not merged": lambda: (layers.Bidirectional(layers.LSTM(3, return_state=True), merge_mode=None), (5, [2])),
    "Bidirectional, states given": lambda: (lambda x, h, c: layers.Bidirectional(layers.SimpleRNN(3))(x, initial_state=[h, c]), (5, [2]), ([3],), ([3],)),
    "Bidirectional, two widths": lambda: (layers.Bidirectional(layers.GRU(3), backward_layer=layers.GRU(4, go_backwards=True)), (5, [2])),
    "Bidirectional, two kinds": lambda: (layers.Bidirectional(layers.SimpleRNN(3), backward_layer=layers.GRU(3, go_backwards=True)), (5, [2])),
    "Bidirectional of images": lambda: (layers.Bidirectional(layers.ConvLSTM1D(3, 1)), (5, 6, [2])),
    # attention
    "MultiHeadAttention": lambda: (layers.MultiHeadAttention(2, 3), ([5], [2]), ([6], [4])),
    "MultiHeadAttention with a key": lambda: (layers.MultiHeadAttention(2, 3, value_dim=5, output_shape=7, use_bias=False), (5, [2]), (6, [4]), (6, [3])),
    "MultiHeadAttention, scores": lambda: (lambda q, v: layers.MultiHeadAttention(2, 3)(q, v, return_attention_scores=True), (5, [2]), (6, [4])),
    "MultiHeadAttention, masked": lambda: (lambda q, v, m: layers.MultiHeadAttention(2, 3)(q, v, attention_mask=m), (5, [2]), (6, [4]), (5, [6])),
    "MultiHeadAttention, two axes out": lambda: (lambda q: layers.MultiHeadAttention(2, 3, output_shape=(2, 4))(q, q), (5, [2])),
    "Attention": lambda: (lambda q, v: layers.Attention()([q, v]), ([5], [2]), ([6], [2])),
    "Attention with a key": lambda: (lambda q, v, k: layers.Attention()([q, v, k], return_attention_scores=True), (5, [2]), (6, [4]), (6, [2])),
    "Attention with a scale": lambda: (lambda q, v: layers.Attention(use_scale=True)([q, v]), (5, [2]), (6, [2])),
    "Attention that concatenates": lambda: (lambda q, v: layers.Attention(score_mode="concat")([q, v]), (5, [2]), (6, [2])),
    "Attention, masked": lambda: (lambda q, v, a, b: layers.Attention()([q, v], mask=[a, b]), (5, [2]), (6, [2]), (5,), (6,)),
    "AdditiveAttention": lambda: (lambda q, v: layers.AdditiveAttention()([q, v]), (5, [2]), (6, [2])),
    "AdditiveAttention without a scale": lambda: (lambda q, v: layers.AdditiveAttention(use_scale=False)([q, v]), (5, [2]), (6, [2])),
    # wrappers
    "TimeDistributed": lambda: (layers.TimeDistributed(layers.Dense(3)), ([5], [2])),
    "TimeDistributed, images": lambda: (layers.TimeDistributed(layers.Conv2D(3, 1)), ([5], 4, 6, [2])),
    "TimeDistributed, a layer without a rule": lambda: (layers.TimeDistributed(layers.UnitNormalization()), (5, [2])),
    # elementwise
    "ReLU": lambda: (layers.ReLU(), ([5], [2])),
    "Activation": lambda: (layers.Activation("relu"), ([5], [2])),
    "Activation, softmax": lambda: (layers.Activation("softmax"), ([5], [2])),
    "Activation, a layer": lambda: (layers.Activation(layers.LeakyReLU()), ([5], [2])),
    "Activation, of one's own": lambda: (layers.Activation(relu), ([5], [2])),
    "Activation, an object of one's own": lambda: (layers.Activation(Own()), ([5], [2])),
    "Softmax": lambda: (layers.Softmax(), ([5], [2])),
    "Softmax over two axes": lambda: (layers.Softmax(axis=[1, 2]), ([5], [2])),
    "softmax": lambda: (lambda x: ops.softmax(x, axis=1), ([5], [2])),
    "softmax over all": lambda: (lambda x: ops.softmax(x, axis=None), ([5], [2])),
    "softmax over a tuple": lambda: (lambda x: ops.softmax(x, axis=(1, 2)), ([5], [2])),
    "Rescaling": lambda: (layers.Rescaling(2.0), ([5], [2])),
    "Rescaling, a scale for each": lambda: (layers.Rescaling([2.0, 3.0]), ([5], [2])),
    "Rescaling, an offset for each": lambda: (layers.Rescaling(2.0, [2.0, 3.0]), ([5], [2])),
    "Add": lambda: (lambda *x: layers.Add()(x), ([5], [2]), ([5], [2]), ([5], [2])),
    "Add to an image": lambda: (lambda *x: layers.Add()(x), (5, [2]), (5, 2)),
    "Multiply, one channel": lambda: (lambda *x: layers.Multiply()(x), ([5], [2]), ([5], [1])),
    "add, fewer axes": lambda: (ops.add, ([5], [4], [2]), ([4], [2])),
    "add a number": lambda: (lambda a: ops.add(a, 2.0), ([5], [2])),
    "add an array": lambda: (lambda a: ops.add(a, np.ones(2)), ([5], [2])),
    "add an array of one": lambda: (lambda a: ops.add(a, np.ones((1, 5, 1))), ([5], [2])),
    "where": lambda: (lambda a, b: ops.where(a, b, 0.0), ([5], [1]), ([5], [2])),
    # merging
    "Concatenate": lambda: (lambda *x: layers.Concatenate()(x), ([5], [2]), ([5], [3])),
    "Concatenate along another axis": lambda: (lambda *x: layers.Concatenate(axis=1)(x), ([5], [2]), ([6], [2]), ([7], [2])),
    "Concatenate with an image": lambda: (lambda *x: layers.Concatenate()(x), ([5], [2]), (5, 3)),
    "Concatenate images": lambda: (lambda *x: layers.Concatenate()(x), ([5], 2), ([5], 3)),
    "Concatenate with an unknown length": lambda: (lambda *x: layers.Concatenate(axis=1)(x), ([5], [2]), (None, [2])),
    "stack": lambda: (lambda one, other: ops.stack([one, other], axis=1), ([3], [2]), ([3], [2])),
    "stack at the end": lambda: (lambda one, other: ops.stack([one, other], axis=-1), ([3], [2]), (3, [2])),
    "matmul": lambda: (ops.matmul, ([5], [2]), ([2], [3])),
    "matmul of stacks": lambda: (ops.matmul, ([4], [5], [2]), ([4], [2], [3])),
    "matmul of stacks with an image": lambda: (ops.matmul, (4, 5, [2]), ([4], 2, [3])),
    "matmul of a stack and an image": lambda: (ops.matmul, ([4], 5, [2]), (4, 2, [3])),
    "matmul, spread": lambda: (ops.matmul, ([4], [5], [2]), ([1], [2], [3])),
    "matmul with an array": lambda: (lambda a: ops.matmul(a, np.ones((2, 3))), ([5], [2])),
    "matmul of rows": lambda: (ops.matmul, ([5], [2]), ([5],)),
    "matmul of other rows": lambda: (ops.matmul, ([2],), ([2], [3])),
    "Dot": lambda: (lambda *x: layers.Dot(axes=-1)(x), ([5], [2]), ([6], [2])),
    "Dot, two axes": lambda: (lambda *x: layers.Dot(axes=(2, 1))(x), ([5], [2]), ([2], [6])),
    "Dot, first and last": lambda: (lambda *x: layers.Dot(axes=(1, 2))(x), ([5], [2]), ([6], [5])),
    "Dot of vectors": lambda: (lambda *x: layers.Dot(axes=1)(x), ([2],), ([2],)),
    "Dot of a matrix and a vector": lambda: (lambda *x: layers.Dot(axes=(2, 1))(x), ([5], [2]), ([2],)),
    "Dot of a vector and a matrix": lambda: (lambda *x: layers.Dot(axes=(1, 1))(x), ([5],), ([5], [2])),
    "Dot, normalized": lambda: (lambda *x: layers.Dot(axes=-1, normalize=True)(x), ([5], [2]), ([6], [2])),
    # windows
    "MaxPooling2D": lambda: (layers.MaxPooling2D(), ([4], [6], [2])),
    "MaxPooling2D, channels first": lambda: (layers.MaxPooling2D(data_format="channels_first"), ([2], [4], [6])),
    "GlobalMaxPooling2D": lambda: (layers.GlobalMaxPooling2D(), ([4], [6], [2])),
    "GlobalAveragePooling1D, kept": lambda: (layers.GlobalAveragePooling1D(keepdims=True), ([4], [2])),
    "GlobalAveragePooling1D, channels first": lambda: (layers.GlobalAveragePooling1D(data_format="channels_first"), ([4], [2])),
    "mean": lambda: (lambda x: ops.mean(x, axis=1), ([4], [2])),
    "mean, kept": lambda: (lambda x: ops.mean(x, axis=-1, keepdims=True), ([4], [2])),
    "sum over two": lambda: (lambda x: ops.sum(x, axis=(1, -1)), ([4], [6], [2])),
    "sum over two, kept": lambda: (lambda x: ops.sum(x, axis=[1, 3], keepdims=True), ([4], [6], [2])),
    "sum over all": lambda: (ops.sum, ([4], [2])),
    "pad": lambda: (lambda x: ops.pad(x, ((0, 0), (1, 0), (0, 1), (0, 0))), ([4], [6], [2])),
    "pad alike": lambda: (lambda x: ops.pad(x, 1), ([4], [2])),
    # reshaping
    "Flatten": lambda: (layers.Flatten(), (3, 2, [2])),
    "Flatten, the first axis": lambda: (layers.Flatten(), ([2], 3)),
    "Flatten, the middle axis": lambda: (layers.Flatten(), (2, [3], 2)),
    "Flatten, two axes of channels": lambda: (layers.Flatten(), ([2], [3])),
    "Flatten, unknown length": lambda: (layers.Flatten(), (None, [3])),
    "Flatten, channels first": lambda: (layers.Flatten(data_format="channels_first"), ([2], 3)),
    "Reshape": lambda: (layers.Reshape((3, 2)), ([6],)),
    "Reshape to the front": lambda: (layers.Reshape((4, 6)), (2, 2, [6])),
    "Reshape, the rest": lambda: (layers.Reshape((-1, 6)), (2, 2, [6])),
    "Reshape, all the rest": lambda: (layers.Reshape((-1,)), (2, [3])),
    "Reshape of an image": lambda: (layers.Reshape((6,)), (2, 3)),
    "Reshape to ones": lambda: (layers.Reshape((1, 1, 6)), ([6],)),
    "Reshape to ones behind": lambda: (layers.Reshape((6, 1, 1)), ([6],)),
    "Reshape from ones": lambda: (layers.Reshape((6,)), (1, [6], 1)),
    "Reshape of a single one": lambda: (layers.Reshape((1, 1)), ([1],)),
    "Reshape, ones between": lambda: (layers.Reshape((4, 1, 6)), ([4], [6])),
    "Reshape, blocks": lambda: (layers.Reshape((4, 3, 2)), ([4], [6])),
    "Reshape, blocks that do not fit": lambda: (layers.Reshape((3, 8)), ([4], [6])),
    "Reshape, one axis and a block": lambda: (layers.Reshape((6, 4, 5)), (2, [3], 20)),
    "Reshape, two axes split": lambda: (layers.Reshape((2, 2, 3, 2)), (4, [6])),
    "Reshape into more than two": lambda: (layers.Reshape((2, 3, 2)), ([12],)),
    "Reshape, unknown length": lambda: (layers.Reshape((-1, 2)), (None, [2])),
    "Reshape, unknown length, the last changed": lambda: (layers.Reshape((-1, 4)), (None, [2])),
    "Reshape, unknown length, several": lambda: (layers.Reshape((-1, 3, 2)), (None, [3], [2])),
    "reshape": lambda: (lambda x: ops.reshape(x, (-1, 6)), (3, [2])),
    "reshape, more": lambda: (lambda x: ops.reshape(x, (-1, 3, 2)), ([6],)),
    "reshape of rows": lambda: (lambda x: ops.reshape(x, (2, -1, 3)), ([6],)),
    # shape
    "Permute": lambda: (layers.Permute((2, 1)), ([3], [2])),
    "RepeatVector": lambda: (layers.RepeatVector(4), ([3],)),
    "transpose": lambda: (lambda x: ops.transpose(x, (0, 2, 3, 1)), ([3], [2], [4])),
    "transpose, turned round": lambda: (ops.transpose, ([3], [2])),
    "swapaxes": lambda: (lambda x: ops.swapaxes(x, 1, -1), ([3], [2], [4])),
    "expand_dims": lambda: (lambda x: ops.expand_dims(x, 1), ([3], [2])),
    "expand_dims at the end": lambda: (lambda x: ops.expand_dims(x, -1), ([3], [2])),
    "expand_dims, two": lambda: (lambda x: ops.expand_dims(x, (1, -1)), ([3], [2])),
    "squeeze": lambda: (lambda x: ops.squeeze(x, -1), ([3], [1])),
    "squeeze another": lambda: (lambda x: ops.squeeze(x, 1), ([1], [3])),
    "squeeze two": lambda: (lambda x: ops.squeeze(x, (1, 3)), ([1], [3], [1])),
    "squeeze all": lambda: (ops.squeeze, ([1], [3])),
    "split": lambda: (lambda x: ops.split(x, 3, axis=-1), ([2], [6])),
    "split another axis": lambda: (lambda x: ops.split(x, 2, axis=1), ([4], [2])),
    "split an image": lambda: (lambda x: ops.split(x, 2, axis=-1), ([2], 4)),
    "split an image at places": lambda: (lambda x: ops.split(x, [1, 2], axis=-1), ([2], 4)),
    "split at places": lambda: (lambda x: ops.split(x, [1, 2], axis=-1), ([2], [4])),
    "item": lambda: (lambda x: x[:, 1], ([3], [2])),
    "item, a part": lambda: (lambda x: x[:, 1:], ([3], [2])),
    "item, a new axis": lambda: (lambda x: x[:, None], ([3], [2])),
    "item, the last": lambda: (lambda x: x[..., 0], ([3], [2])),
    "item, the last part": lambda: (lambda x: x[..., :1], ([3], [2])),
    "item, between": lambda: (lambda x: x[:, ..., None, 1:, :], ([3], [4], [2])),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_a_rule_says(name):
    called, *shapes = CASES[name]()
    assert ruled(called, *shapes) == SAID[name]


def test_each_text_has_its_case():
    assert set(SAID) == set(CASES)


@pytest.mark.parametrize("wrapped", [lambda layer: layer, layers.Bidirectional])
def test_what_carries_its_state_stays(wrapped):
    assert ruled(wrapped(layers.GRU(3, stateful=True)), ([5], [2]), rows=4) == [
        "out 0: -, -", "0..4 stay: 'x' carries its state from batch to batch", "5..6 stay: 'x' carries its state from batch to batch",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "called", [lambda x: ops.expand_dims(ops.add(x[0], x[0]), 0), lambda x: ops.transpose(ops.transpose(x))]
)
def test_channels_in_the_place_of_rows_stay(called):
    given = layers.Input((4,))
    x = layers.Dense(8, name="kept")(layers.Dense(8)(given))
    pruned = prune_model(Model(given, layers.Dense(3)(called(x))), Selection(ratio=0.5, round_to=2))
    assert [layer.units for layer in pruned.model.layers if isinstance(layer, layers.Dense)] == [4, 8, 3]
    assert "uses them in a way that is not known" in {left.layer: left.why for left in pruned.left}["kept"]


def test_only_what_is_known_has_a_rule():
    class Dense(layers.Dense):
        pass

    given = layers.Input((2, 3))
    assert rule_of(layers.Dense(3)).__name__ == "dense"
    assert rule_of(layers.Softmax()).__name__ == "against_each_other"
    assert rule_of(ops.add(given, given)._keras_history.operation).__name__ == "joined"
    assert rule_of(layers.UnitNormalization()) is None
    assert rule_of(Dense(3)) is None
    quantized = layers.Dense(3)
    quantized.build((None, 4))
    quantized.quantize("int8")
    assert rule_of(quantized) is None


def test_an_operation_is_not_taken_for_a_layer_of_its_name():
    given = layers.Input((2, 3))
    operation = ops.relu(given)._keras_history.operation
    assert rule_of(operation).__name__ == "each"
    type(operation).__name__, name = "Dense", type(operation).__name__
    try:
        assert rule_of(operation) is None
    finally:
        type(operation).__name__ = name
