"""Keras models: opening, saving, looking into, answering."""

import io
import json
import re
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from pipeline.errors import ModelError
from pipeline.frameworks import keras2, keras_archive
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.types import KerasModel
from pipeline.safe_text import shortened

ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can hold
MOST_KNOWN = 6  # names in one sentence


def open_keras(path: Path, name: str = "") -> KerasModel:
    """Open a .keras or .h5 file, whatever its name ends in. ModelError says what is wrong with it.

    No code in the file is ever run. Classes and functions of the user's own are those that Keras knows in this process:
    pipeline.frameworks.custom_objects.register.
    """
    import keras

    name = name or path.name
    head = path.open("rb").read(8)
    suffix = {b"PK": ".keras", b"\x89H": ".h5"}.get(head[:2])
    if suffix is None:
        raise ModelError(
            f"{name} is not a Keras model: it is neither a zip archive (.keras) nor an HDF5 file (.h5)",
            hint="Write it with model.save('model.keras').",
        )
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"model{suffix}"
        link.symlink_to(path.resolve())
        try:
            keras_archive.check(path, name)
            if keras2.is_keras2(path):
                return keras2.open_keras2(path, name, keras.saving.get_custom_objects())
            if is_fake_quantized(path):
                from pipeline.frameworks import fake_quantization  # noqa: F401 - makes Keras know its layers
            return keras.models.load_model(link, compile=False, safe_mode=True)
        except ModelError:
            raise
        except Exception as error:
            whole = suffix == ".h5" or zipfile.is_zipfile(path)
            raise _why_not_keras(name, path, suffix, error, whole=whole) from error


def _why_not_keras(name: str, path: Path, suffix: str, error: Exception, *, whole: bool) -> ModelError:
    text = str(error)
    unknown = re.search(r"(?:Could not locate (?:class|function)|Unknown (?:layer|object)):? '([^']+)'", text)
    if unknown and unknown[1] not in {"Lambda", "TFSMLayer"}:
        return ModelError(f"{name} uses {unknown[1]}, which is not part of Keras", hint=_where_it_is(unknown[1], text))
    if "TFSMLayer" in text:
        return ModelError(
            f"{name} holds a TFSMLayer: its weights lie in a SavedModel outside this file, and it is code that edgepress does not run",
            hint="If a SavedModel is the whole model, name its folder in [model] path. Else export the whole, model.export('folder') "
            "in the program that made it, and name that folder; or build it from Keras's own layers.",
        )
    if "Lambda" in text or "unsafe" in text:
        return ModelError(
            f"{name} holds a Lambda layer, which is Python code inside the model file; edgepress never runs code from a model",
            hint="Replace the Lambda by a layer of Keras (Rescaling, Reshape, keras.ops in a functional model) and save again.",
        )
    if "No model config found" in text:
        return ModelError(
            f"{name} holds weights alone, and no model that they belong to",
            hint="Build the model as in training, load them with model.load_weights, and save it all with model.save('model.keras').",
        )
    if whole and suffix == ".keras" and not _has_config(path):
        return ModelError(
            f"{name} is not a Keras model: it is a zip archive without a config.json",
            hint="Write it with model.save('model.keras').",
        )
    if not whole or isinstance(error, OSError | zipfile.BadZipFile | KeyError | EOFError):
        return ModelError(
            f"{name} is damaged: it begins like a {suffix} file but cannot be read to its end",
            hint="It was probably cut off while being copied: copy it again, or save it again.",
        )
    return ModelError(
        f"Keras cannot load {name} ({type(error).__name__}: {cause_of(error)})",
        hint="It must load with keras.models.load_model(path) on the installed Keras; save it again from the Keras that made it.",
    )


def _where_it_is(kind: str, text: str) -> str:
    """A hint on a class that Keras does not know: in the file it may go by a longer name, 'package>Class'."""
    import keras

    registered = re.search(rf"'registered_name': '([^']*>{re.escape(kind)})'", text)
    name = shortened(registered[1] if registered else kind, 100)
    known = [each for each in keras.saving.get_custom_objects() if not each.startswith("edgepress>")]
    if known:
        shown = ", ".join(shortened(each, 60) for each in known[:MOST_KNOWN])
        return f"[model] custom_objects of the plan returns {shown}: let it return {{'{name}': ...}}, too, as the file calls it."
    return (
        f'If it is your own, say where it is: [model] custom_objects = "module:function", of a function in a module next to the '
        f"plan that returns {{'{name}': ...}}. Else build the model from Keras's own layers, or export it to ONNX and give that file."
    )


def _has_config(path: Path) -> bool:
    with zipfile.ZipFile(path) as file:
        return "config.json" in file.namelist()


def is_fake_quantized(path: Path) -> bool:
    """Return whether a .keras file holds layers of pipeline.frameworks.fake_quantization. It is not opened as a model."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as file:
        return "config.json" in file.namelist() and b"edgepress>FakeQuantize" in file.read("config.json")


def save_keras(model: KerasModel) -> bytes:
    """Return the model as a .keras file that depends on nothing but the model: the same model gives the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        data = io.BytesIO()
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as new:
            for name in sorted(old.namelist()):
                content = old.read(name)
                if name == "metadata.json":
                    content = json.dumps(json.loads(content) | {"date_saved": ""}, sort_keys=True).encode()
                new.writestr(zipfile.ZipInfo(name, ZIP_DATE), content)
    return data.getvalue()


def check_weights(model: KerasModel, name: str) -> None:
    """Raise ModelError if a weight is NaN or infinite."""
    for variable in model.variables:
        values = np.asarray(variable)
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise ModelError(
                f"{name}: the weights '{variable.path}' hold NaN or infinity",
                hint="Training went wrong (often a learning rate that is too high): train again and save a sound model.",
            )
