"""Layers that change rows at random in training are not in an exported file: TFLite has no form of their random numbers."""

import numpy as np
import pytest

from pipeline.convert.table import load_converter
from tests.support.conversions import job, largest_error, silent

pytestmark = pytest.mark.frameworks


@pytest.fixture(scope="module")
def augmented():
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    inner = keras.Sequential([layers.RandomRotation(0.2), layers.RandomContrast(0.5)])
    return keras.Sequential([
        keras.Input((8, 8, 3)), layers.RandomFlip(), inner, layers.RandomZoom(0.3), layers.GaussianNoise(0.5), layers.Dropout(0.5),
        layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3),
    ])  # fmt: skip


@pytest.mark.parametrize("name", ["tflite-fp32", "tflite-fp16", "tflite-int8", "onnx-fp32", "onnx-int8"])
def test_a_model_with_augmentation_converts(augmented, tmp_path, name):
    x = np.random.default_rng(0).uniform(0, 1, (20, 8, 8, 3)).astype("float32")
    converter = load_converter(name)
    data = converter.convert(job(augmented, tmp_path, x if converter.CALIBRATES else None), silent)
    error = largest_error(augmented, data, converter.FILE, tmp_path, x)
    spread = float(augmented.predict(x, verbose=0).std())
    assert error < {"32": 1e-5, "16": 1e-2, "t8": 0.2}[name[-2:]] * max(spread, 1.0)
