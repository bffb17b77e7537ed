"""Folding: equal answers, without normalisation, separable convolutions and nested models."""

import numpy as np
import pytest

from pipeline import compress
from pipeline.compress.callbacks import fake_quantized
from pipeline.compress.context import Dataset
from pipeline.compress.fake_quantize import callback
from pipeline.compress.fake_quantize.fold_batch_norm import fold_batch_norm
from pipeline.errors import StageError

pytestmark = pytest.mark.frameworks


def normalised(x):
    """Batch normalisation whose statistics and weights are not the initial ones."""
    import keras

    norm = keras.layers.BatchNormalization()
    y = norm(x)
    generator = np.random.default_rng(x.shape[-1])
    for weight in norm.weights:
        weight.assign(generator.uniform(0.4, 1.6, weight.shape))
    return y


def body(kind, x):
    import keras
    from keras import layers

    if kind == "convolution":
        return normalised(layers.Conv2D(6, 3, use_bias=False)(x))
    if kind == "depthwise":
        return normalised(layers.DepthwiseConv2D(3, depth_multiplier=2)(x))
    if kind == "transposed":
        return normalised(layers.Conv2DTranspose(5, 3, strides=2)(x))
    if kind == "separable":
        return normalised(layers.SeparableConv2D(6, 3, strides=2, padding="same", activation="relu")(x))
    if kind == "dense":
        return normalised(layers.Dense(6)(layers.Flatten()(x)))
    if kind == "first, then ReLU":
        return layers.Conv2D(4, 3, padding="same")(layers.ReLU()(normalised(layers.Rescaling(2.0, -1.0)(x))))
    if kind == "behind a pooled vector":
        return layers.Dense(3)(normalised(layers.GlobalAveragePooling2D()(x)))
    if kind == "in one dimension":
        return normalised(layers.Conv1D(4, 3, activation="relu")(layers.Reshape((16, 12))(x)))
    if kind == "a convolution with two consumers":
        y = layers.Conv2D(3, 1)(x)
        return layers.Add()([y, normalised(y)])
    if kind == "a shared convolution":
        shared = layers.Conv2D(3, 1)
        return normalised(shared(normalised(shared(x))))
    inner = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(3, 3, padding="same", name="same"), layers.ReLU(name="end")]
    )
    return normalised(layers.Conv2D(4, 1, name="same")(inner(inner(x))))


@pytest.mark.parametrize(
    "kind",
    [
        "convolution", "depthwise", "transposed", "separable", "dense", "first, then ReLU", "behind a pooled vector",
        "in one dimension", "a convolution with two consumers", "a shared convolution", "a nested model, used twice",
    ],
)  # fmt: skip
def test_answers_stay(kind):
    import keras

    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, body(kind, image))
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    before = model.predict(x, verbose=0)
    folded = fold_batch_norm(model).model
    assert np.abs(folded.predict(x, verbose=0) - before).max() < 1e-5
    assert np.array_equal(model.predict(x, verbose=0), before)
    gone = keras.layers.BatchNormalization | keras.layers.SeparableConv2D | keras.layers.Rescaling | keras.Model
    assert not any(isinstance(layer, gone) for layer in folded.layers)


def test_no_layer_is_added_where_a_norm_follows_its_convolution():
    import keras

    from tests.support.tiny_model import tiny_model

    folded = fold_batch_norm(tiny_model()).model
    assert [layer.name for layer in folded.layers if layer.weights] == [
        "stem", "depthwise", "pointwise", "hidden", "scores",
    ]  # fmt: skip
    assert isinstance(folded.get_layer("stem"), keras.layers.Conv2D)


def over_rows():
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    norm = layers.BatchNormalization(axis=1, name="over_rows")
    model = keras.Model(image, layers.Flatten()(norm(layers.Conv2D(6, 3, name="conv")(image))))
    norm.moving_mean.assign(np.arange(6.0))
    return model


ROWS = np.random.default_rng(0).normal(size=(20, 8, 8, 3)).astype(np.float32)


def test_a_norm_along_another_axis_is_refused_by_name():
    """It has as many statistics as the convolution has filters, so that nothing but the answers would tell."""
    with pytest.raises(StageError, match=r"quantize_aware cannot fold layer 'over_rows' .* along axis 1") as caught:
        compress.apply(over_rows(), "quantize_aware", calibration=Dataset(ROWS))
    assert "axis=-1" in caught.value.hint


def test_a_folded_model_that_answers_something_else_is_refused(monkeypatch):
    monkeypatch.setattr(callback, "check", lambda model: None)
    with pytest.raises(StageError, match=r"quantize_aware cannot fold .* its answers would change by up to"):
        fake_quantized(over_rows(), ROWS)
