"""Surgery on a model, judged by its answers, and parts of models to be cut."""

import keras
import numpy as np
from keras import layers

from pipeline import frameworks
from pipeline.compress.formats import FORMATS
from pipeline.compress.surgery import Selection, prune_model
from pipeline.compress.surgery.graph import functional
from tests.support.masked import masked, randomise

HALF = Selection(ratio=0.5, round_to=2)


def check(model, selection=HALF, shrinks_to=0.7, rows=3):
    """The exact check; returns the smaller model."""
    model = FORMATS["keras"].read_back(frameworks.save_keras(randomise(model)))  # as a plan's model is
    generator = np.random.default_rng(3)
    inputs = [
        generator.integers(0, 20, (rows, *(size or 6 for size in tensor.shape[1:])))
        if "int" in tensor.dtype
        else generator.normal(0, 1, (rows, *(size or 6 for size in tensor.shape[1:]))).astype(tensor.dtype)
        for tensor in model.inputs
    ]
    before = [np.asarray(weight).copy() for weight in model.weights]
    pruned = prune_model(model, selection).model
    assert all(np.array_equal(old, new) for old, new in zip(before, model.weights, strict=True))
    expected = masked(model, selection, inputs)
    answered = [np.asarray(each) for each in keras.tree.flatten(pruned(_as_called(model, inputs), training=False))]
    assert len(expected) == len(answered)
    for one, other in zip(expected, answered, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() < 1e-5
        assert np.std(one) > 1e-4
    assert pruned.count_params() <= shrinks_to * model.count_params()
    assert [layer.name for layer in pruned.layers] == [layer.name for layer in model.layers]
    assert [(each.shape, each.dtype) for each in pruned.inputs] == [(each.shape, each.dtype) for each in model.inputs]
    reread = FORMATS["keras"].read_back(frameworks.save_keras(pruned))
    assert np.allclose(keras.tree.flatten(reread(_as_called(model, inputs), training=False))[0], answered[0], atol=1e-6)
    return pruned


def _as_called(model, inputs):
    structure = functional(model).input
    return keras.tree.pack_sequence_as(structure, inputs) if isinstance(structure, dict | list) else inputs[0]


def image(side=8, channels=3):
    return keras.Input((side, side, channels))


def conv(filters=16, kernel=3, **more):
    return layers.Conv2D(filters, kernel, **({"padding": "same", "activation": "relu"} | more))


def classes(x):
    return layers.Dense(5)(x if len(x.shape) == 2 else layers.GlobalAveragePooling2D()(x))


def after_conv(*middle, filters=16):
    """A convolution, these layers, a convolution, classes."""
    given = image()
    x = conv(filters)(given)
    for layer in middle:
        x = layer(x)
    return keras.Model(given, classes(conv()(x)))


def sequence(*middle, width=4):
    given = keras.Input((6, width))
    x = layers.Dense(16, activation="tanh")(given)
    for layer in middle:
        x = layer(x)
    return keras.Model(given, layers.Dense(3)(x))
