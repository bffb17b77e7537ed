"""What only Keras 2 opens: a .h5 or .keras file opened with tf_keras, and saved as a SavedModel. It takes the extra 'legacy'.

The SavedModel holds what tf_keras computes, operation by operation, so its answers are those of tf_keras. Layers of Keras 3 do not come
back: it is converted and measured, not compressed.
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.frameworks import keras2, keras2_trust, keras2_weights, keras_archive
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.types import KerasModel

SIGNATURE = "serving_default"


def save_with_tf_keras(path: Path, folder: Path, name: str, custom_objects: Mapping[str, Any]) -> Path:
    """Open a Keras 2 file with tf_keras, save it as a SavedModel in `folder`, and return where. Call it in a child process.

    `custom_objects`: layers of tf_keras that the plan names, by their names in the file. ModelError if the file names code that is not
    of tf_keras, or tf_keras cannot open it.
    """
    keras_archive.check(path, name)
    keras2_trust.check(keras2.config_of(path), name, custom_objects)
    _check_links(path, name)
    import tf_keras

    link = folder / f"model{'.keras' if zipfile.is_zipfile(path) else '.h5'}"
    link.symlink_to(path.resolve())
    try:
        model = tf_keras.models.load_model(link, custom_objects=dict(custom_objects), compile=False, safe_mode=True)
    except Exception as error:
        raise ModelError(
            f"{name} was made by Keras 2, and tf_keras cannot open it ({type(error).__name__}: {cause_of(error)})",
            hint="It must open with tf_keras.models.load_model(path); save it again from the program that made it.",
        ) from error
    if not getattr(model, "inputs", None):
        raise ModelError(
            f"{name} does not say the shape of its input",
            hint="Save it after it was built: begin it with an Input, or call it once.",
        )
    target = folder / "from_tf_keras"
    _save(model, target, name)
    return target


def _check_links(path: Path, name: str) -> None:
    import h5py

    source: Any = path
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            source = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(source, "r") as file:
        keras2_weights.check_links(file, name)


def _save(model: KerasModel, target: Path, name: str) -> None:
    """Save what the model answers outside of training, with its inputs and outputs by name."""
    import tensorflow as tf

    dicts = isinstance(model.output, dict)  # their keys are the names; flattened in the order of the keys
    outputs = sorted(model.output) if dicts else list(model.output_names)
    names = _arguments(model.input_names)
    specs = {
        each: tf.TensorSpec(tensor.shape, tensor.dtype, name=each)
        for each, tensor in zip(names, model.inputs, strict=True)
    }

    def answer(**given: Any) -> dict[str, Any]:
        rows = [given[each] for each in names]
        found = tf.nest.flatten(model(rows if len(rows) > 1 else rows[0], training=False))
        return {key: tf.identity(value) for key, value in zip(outputs, found, strict=True)}

    holder = tf.Module()
    try:
        function = tf.function(answer).get_concrete_function(**specs)
        # not the model: each of its layers would be saved as functions, too; and in the model's order, since the function has none
        holder.kept = sorted(function.variables, key=_places(model))
        tf.saved_model.save(holder, str(target), signatures={SIGNATURE: function})
    except OSError:  # the disk
        raise
    except Exception as error:
        raise ModelError(
            f"{name} was made by Keras 2, and TensorFlow cannot save what tf_keras opened as a SavedModel: {cause_of(error)}",
            hint="Where it was made, make an ONNX file of it with tf2onnx, and give that file.",
        ) from error


def _places(model: KerasModel) -> Callable[[Any], tuple[int, str]]:
    """What to sort variables by: where the model has them, then those that it does not list by their names."""
    places = {id(each): place for place, each in enumerate(model.variables)}
    return lambda each: (places.get(id(each), len(places)), each.name)


def _arguments(names: Iterable[str]) -> list[str]:
    """Names of inputs as arguments of a function can have them."""
    found: list[str] = []
    for each in names:
        stem = re.sub(r"\W|^(?=\d)", "_", each, flags=re.ASCII)
        name, number = stem, 1
        while name in found:
            name, number = f"{stem}_{number}", number + 1
        found.append(name)
    return found
