"""Layers that Keras writes with operations which converters do not know: they are converted, and answer the same."""

import numpy as np
import pytest

from pipeline.frameworks.keras_plain import constants_of_numpy, plain_operations
from tests.support.plans import plan_for
from tests.support.tiny_model import through

pytestmark = pytest.mark.frameworks
RNG = np.random.default_rng(3)


def nets():
    import keras
    from keras import layers

    image, line = keras.Input((8, 8, 4), name="x"), keras.Input((8, 4), name="x")
    return {
        "grouped": keras.Model(image, layers.Conv2D(8, 3, groups=2)(image)),
        "grouped lines": keras.Model(line, layers.Conv1D(8, 3, groups=2)(line)),
        "normalized": keras.Model(image, layers.Normalization(mean=[1, 2, 3, 4], variance=[4, 3, 2, 1])(image)),
        "argmax": keras.Model(image, keras.ops.argmax(layers.Conv2D(3, 1)(image), axis=-1)),
        "argmin of all": keras.Model(image, keras.ops.argmin(image, keepdims=True)),
    }


@pytest.mark.parametrize("name", ["grouped", "grouped lines", "normalized", "argmax"])
def test_it_is_converted_and_answers_the_same(empty, name):
    model = nets()[name]
    model.save(empty.folder / "m.keras")
    np.savez(empty.folder / "e.npz", x=RNG.random((5, *model.input_shape[1:])).astype(np.float32))
    plan = plan_for("m.keras", '[data]\nevaluation = "e.npz"\n[convert]\nformats = ["tflite-fp32", "onnx-fp32"]')
    for made in through(empty, plan).converted:
        assert made.agreement.largest_error <= (0 if name == "argmax" else 1e-5), made.format


@pytest.mark.parametrize("name", ["argmax", "argmin of all"])
def test_the_place_of_the_largest_is_that_of_keras(name):
    model = nets()[name]
    x = RNG.random((5, 8, 8, 4)).astype(np.float32)
    wanted = np.asarray(model(x))
    with plain_operations():
        found = np.asarray(model(x))
    assert found.shape == wanted.shape
    assert np.array_equal(found, wanted)


def test_keras_is_as_before_afterwards():
    from keras.src.backend.tensorflow import nn, numpy

    before = nn.tf, numpy.argmax, numpy.argmin
    with pytest.raises(ZeroDivisionError), plain_operations():
        assert nn.tf is not before[0]
        raise ZeroDivisionError
    assert (nn.tf, numpy.argmax, numpy.argmin) == before


def test_constants_become_arrays_and_the_model_is_the_same():
    model = nets()["normalized"]
    x = RNG.random((5, 8, 8, 4)).astype(np.float32)
    wanted = np.asarray(model(x))
    constants_of_numpy(model)
    assert np.array_equal(np.asarray(model(x)), wanted)
