"""Logits: where a model's softmax is found, and what is taken for its answer."""

import numpy as np
import pytest

from pipeline.compress import training
from pipeline.compress.context import Context, Dataset
from pipeline.compress.settings import Recover
from pipeline.compress.training import distillation, logits
from tests.support.tiny_model import rows, tiny_model

pytestmark = pytest.mark.frameworks


X, _ = rows(200, 1)


def classifier(end):
    """Four classes, and the softmax in one of the places where models have it."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(2)
    numbers = keras.Input((3,))
    if end == "dense":
        return keras.Model(numbers, layers.Dense(4, activation="softmax")(numbers))
    if end == "nested":
        return keras.Model(numbers, classifier("dense")(numbers))
    if end == "sequential":
        return keras.Sequential([numbers, layers.Dense(4), layers.Activation("softmax")])
    body = layers.Dense(4)(numbers)
    return keras.Model(numbers, {"layer": layers.Softmax(), "ops": keras.ops.softmax, "none": lambda x: x}[end](body))


@pytest.mark.parametrize("end", ["dense", "layer", "sequential", "nested", "ops", "none"])
def test_logits_are_taken_from_before_the_softmax(end):
    model = classifier(end)
    x = 30 * np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    before = model(x).numpy()
    asked = distillation.forward_of(model, [x], (), ["classes"])
    assert asked.probabilities == (end == "ops",)  # no layer, so the logarithm of its answers is taken
    found = asked([x], training=False)[1][0].numpy()
    kernel, bias = (weight.numpy() for weight in model.weights)
    exact = x @ kernel + bias
    if end == "ops":
        near = before > 1e-6
        shifted = np.log(np.exp(exact - exact.max(-1, keepdims=True)).sum(-1, keepdims=True)) + exact.max(
            -1, keepdims=True
        )
        np.testing.assert_allclose(found[near], (exact - shifted)[near], atol=1e-3)
    else:
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)
    assert np.array_equal(model(x).numpy(), before)


def test_a_softmax_that_is_used_twice_stays():
    import keras

    numbers = keras.Input((4,))
    softmax = keras.layers.Softmax()
    assert logits.final_softmax(keras.Model(numbers, softmax(keras.layers.Dense(4)(softmax(numbers))))) is None


def test_probabilities_and_logits_are_told_apart():
    import keras

    model = tiny_model()
    assert logits.answers_probabilities(model, [X[:64]])
    assert not logits.answers_probabilities(keras.Model(model.inputs, model.layers[-2].output), [X[:64]])


def test_a_confident_mistake_still_has_a_gradient():
    """Through a softmax in float32 the probability of the label is 0 and its clipped logarithm has no gradient."""
    import keras

    model = classifier("dense")
    model.layers[-1].kernel.assign(200 * np.eye(3, 4))
    x, y = np.eye(3, dtype=np.float32), np.array([3, 3, 3])
    before = model.layers[-1].kernel.numpy()
    training.recover(model, Recover(batch_size=3, recalibrate=False), Context(training=Dataset(x, y)))
    assert not np.array_equal(model.layers[-1].kernel.numpy(), before)
    assert isinstance(model, keras.Model)
