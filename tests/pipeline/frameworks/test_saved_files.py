"""Models with fake quantization in .keras files: what a file says of its layers, and files that were saved before."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline import frameworks
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.frameworks
BEFORE = Path(__file__).with_name("saved_by_0_1.keras")
"""Of 0.1.0 before there was a package edgepress: its layers are said to be in pipeline.frameworks.fake_quantization. A convolution with
batch normalisation, a depthwise one, a dense layer with softmax; 8 x 8 x 1 -> 4."""
ANSWERED = [0.25, 0.24609375, 0.25390625, 0.24609375]
"""By the model before it was saved, to a row of 0.5."""


def modules_in(path):
    """Name of a layer's class -> the module that the file names for it, of the registered layers."""
    layers = json.loads(zipfile.ZipFile(path).read("config.json"))["config"]["layers"]
    return {each["registered_name"]: each["module"] for each in layers if each["registered_name"]}


def answer(model):
    return np.asarray(model(np.full((1, 8, 8, 1), 0.5, np.float32)))[0]


def test_a_file_of_before_names_the_old_module():
    assert set(modules_in(BEFORE).values()) == {"pipeline.frameworks.fake_quantization"}


def test_a_file_of_before_is_loaded_by_keras_and_by_the_stages():
    import keras

    import edgepress.layers

    by_keras, by_us = keras.models.load_model(BEFORE), frameworks.open_keras(BEFORE)
    assert answer(by_keras) == pytest.approx(ANSWERED, abs=1e-6)
    assert answer(by_us) == pytest.approx(ANSWERED, abs=1e-6)
    assert any(isinstance(layer, edgepress.layers.FakeQuantizedConv2D) for layer in by_keras.layers)


def test_a_new_file_names_the_public_module(tmp_path):
    import keras

    from edgepress import callbacks, layers

    model = callbacks.fake_quantized(tiny_model(), np.random.default_rng(0).random((32, 8, 8, 1), np.float32))
    model.save(tmp_path / "model.keras")
    found = modules_in(tmp_path / "model.keras")
    assert set(found.values()) == {"edgepress.layers"}
    assert set(found) > {"edgepress>FakeQuantize", "edgepress>FakeQuantizedConv2D", "edgepress>FakeQuantizedDense"}
    assert all(hasattr(layers, name.removeprefix("edgepress>")) for name in found)
    again = keras.models.load_model(tmp_path / "model.keras")
    assert answer(again) == pytest.approx(answer(model), abs=1e-6)
