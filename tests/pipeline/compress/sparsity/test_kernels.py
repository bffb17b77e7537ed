"""Where kernels are found, and which of their axes are inputs and outputs."""

import numpy as np
import pytest

from pipeline.compress.sparsity.kernels import kernels_of, prunable_kernels
from tests.pipeline.compress.kinds_of_networks import gan_generator, recurrent, transformer
from tests.support.tiny_model import tiny_model


def found_in(layer, *shapes):
    """Kernels of a layer that has run on inputs of these shapes: (kind, input axes, output axes, shape)."""
    import keras

    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, layer(*inputs))
    return [(each.kind, each.inputs, each.outputs, tuple(each.variable.shape)) for each in kernels_of(model)]


@pytest.mark.frameworks
def test_input_and_output_axes():
    from keras import layers

    assert found_in(layers.Conv2D(6, 3), (8, 8, 4)) == [("dense", (2,), (3,), (3, 3, 4, 6))]
    assert found_in(layers.Conv1DTranspose(6, 3), (8, 4)) == [("dense", (2,), (1,), (3, 6, 4))]
    assert found_in(layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 4)) == [
        ("depthwise", (), (2, 3), (3, 3, 4, 2))
    ]
    assert found_in(layers.SeparableConv1D(6, 3), (8, 4)) == [
        ("depthwise", (), (1, 2), (3, 4, 1)),
        ("dense", (1,), (2,), (1, 4, 6)),
    ]
    assert found_in(layers.Dense(5), (4,)) == [("dense", (0,), (1,), (4, 5))]
    assert found_in(layers.EinsumDense("abc,cde->abde", (None, 2, 3)), (7, 4)) == [("dense", (0,), (1, 2), (4, 2, 3))]
    attention = found_in(layers.MultiHeadAttention(2, 3), (7, 4), (7, 4))
    assert attention[:3] == [("dense", (0,), (1, 2), (4, 2, 3))] * 3
    assert attention[3] == ("dense", (0, 1), (2,), (2, 3, 4))
    gru = found_in(layers.Bidirectional(layers.GRU(3)), (7, 4))
    assert gru == [("dense", (0,), (1,), (4, 9)), ("dense", (0,), (1,), (3, 9))] * 2
    assert found_in(layers.TimeDistributed(layers.Dense(5)), (7, 4)) == [("dense", (0,), (1,), (4, 5))]
    stacked = found_in(layers.RNN(layers.StackedRNNCells([layers.LSTMCell(2), layers.SimpleRNNCell(3)])), (7, 4))
    assert sorted(shape for _, _, _, shape in stacked) == [(2, 3), (2, 8), (3, 3), (4, 8)]


@pytest.mark.frameworks
def test_layers_are_named_as_their_user_knows_them():
    model = transformer()
    names = [kernel.layer for kernel in kernels_of(model)]
    assert names == ["tokens", "attention", "attention", "attention", "attention", "wide", "narrow", "scores"]
    assert [kernel.layer for kernel in prunable_kernels(model)] == names[1:-1]  # not the embedding, not the last
    assert [kernel.layer for kernel in prunable_kernels(model, ["attention"])] == ["wide", "narrow"]
    assert [kernel.layer for kernel in prunable_kernels(recurrent())] == ["lstm"] * 2 + ["gru"] * 4
    assert [kernel.layer for kernel in prunable_kernels(gan_generator())] == ["seed", "grow"]


@pytest.mark.frameworks
def test_a_shared_layer_is_there_once_and_a_quantized_one_not_at_all():
    import keras

    image, shared = keras.Input((4,)), keras.layers.Dense(4, name="shared")
    twice = keras.Model(image, keras.layers.Dense(2)(shared(shared(image))))
    assert [kernel.layer for kernel in prunable_kernels(twice)] == ["shared"]
    whole = tiny_model()
    whole.get_layer("hidden").quantize("int8")
    assert "hidden" not in [kernel.layer for kernel in kernels_of(whole)]
    assert all(np.asarray(kernel.variable).dtype == np.float32 for kernel in kernels_of(whole))
