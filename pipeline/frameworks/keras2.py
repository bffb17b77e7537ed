"""Keras 2 files (.h5, and the .keras of TensorFlow 2.12 to 2.15 and tf_keras), opened in Keras 3 by repair.

Keras 3 opens some of them by itself, but then hard_sigmoid is another function and a mask may be lost, and nothing says so. So none is
left to it: the model is built layer by layer (keras2_graph), of configurations in Keras 3's words (keras2_config), and gets its weights
by the names of the layers (keras2_weights). The answers differ from those of tf_keras 2.21 by rounding alone.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.frameworks import keras2_graph, keras2_weights
from pipeline.frameworks.types import KerasModel, LayerConfig


def is_keras2(path: Path) -> bool:
    """Whether the file says that a Keras before 3 wrote it. It is not opened as a model."""
    try:
        version, _ = _head(path)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return False
    return version.partition(".")[0] in {"1", "2"}


def open_keras2(path: Path, name: str, custom_objects: Mapping[str, Any] | None = None) -> KerasModel:
    """The model, for Keras 3. `name` is what messages call it; `custom_objects`: layers of the user's own, by their names in the file.

    ModelError names the layer that Keras 3 does not have, or that the file is damaged.
    """
    import h5py

    _, config = _head(path)
    built = keras2_graph.Built(name, custom_objects)
    try:
        model = built.model(config)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                stored = io.BytesIO(archive.read("model.weights.h5"))
            with h5py.File(stored, "r") as file:
                keras2_weights.check_links(file, name)
                keras2_weights.of_archive(file, model, built)
        else:
            with h5py.File(path, "r") as file:
                keras2_weights.check_links(file, name)
                keras2_weights.of_h5(file["model_weights"], model, built)
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:  # what no Keras wrote
        raise ModelError(
            f"the description of the layers of {name} cannot be followed ({type(error).__name__}: {str(error)[:200]})",
            hint="Copy it again, or save it again from the program that made it.",
        ) from error
    return model


def config_of(path: Path) -> LayerConfig:
    """The configuration of the model in a Keras 2 file."""
    return _head(path)[1]


def _head(path: Path) -> tuple[str, LayerConfig]:
    """The version of Keras that wrote the file, and the configuration of the model. ("", {}): there is none."""
    import h5py

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            version = json.loads(archive.read("metadata.json")).get("keras_version")
            return str(version), json.loads(archive.read("config.json"))
    with h5py.File(path, "r") as file:
        config = _text(file.attrs.get("model_config", "{}"))
        return _text(file.attrs.get("keras_version", "")), json.loads(config)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
