"""A Keras model as a converter takes it: for inference, with tensors by name, in 32 bits."""

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline import frameworks
from pipeline.convert import advice, keras_layouts
from pipeline.convert.request import Job
from pipeline.errors import StageError
from pipeline.frameworks import keras_augmentation
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.keras_graph import follow_weights
from pipeline.frameworks.keras_plain import constants_of_numpy, plain_operations
from pipeline.frameworks.keras_signature import called, keras_signature, stateful
from pipeline.frameworks.types import KerasModel, TfSpec, TfTensor

HALF = ("float16", "bfloat16")
IN_32_BITS = (
    ('"mixed_float16"', '"float32"'),
    ('"mixed_bfloat16"', '"float32"'),
    ('"float16"', '"float32"'),
    ('"bfloat16"', '"float32"'),
)
"""What the configuration of a model says of computing in 16 bits, and what it says of 32."""
SAFE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
RESERVED = ("self",)


class Source(NamedTuple):
    """`model` may be another one than in the file, with the same weights: inputs and outputs are in the same order, under other names.

    Keras itself gives an input without a name another one each time it opens the file.
    """

    model: KerasModel
    name: str
    inputs: tuple[str, ...]  # as the record of the model calls them
    outputs: tuple[str, ...]

    def answer(self, tensors: Sequence[TfTensor]) -> list[TfTensor]:
        """What it gives at inference, both in the order of the names."""
        inner = keras_signature(self.model, self.name)
        with plain_operations():  # the answers are those that `called` gives without
            found = called(self.model, inner, dict(zip([each.name for each in inner.inputs], tensors, strict=True)))
        return [found[each.name] for each in inner.outputs]

    def specs(self, shapes: Mapping[str, tuple[int, ...]]) -> list[TfSpec]:
        """The spec of each input, under a name that TensorFlow takes (`safe`)."""
        import tensorflow as tf

        dtypes = [each.dtype for each in keras_signature(self.model, self.name).inputs]
        names = safe(self.inputs)
        return [
            tf.TensorSpec(shapes[name], dtype, name=names[name])
            for name, dtype in zip(self.inputs, dtypes, strict=True)
        ]

    def keeps_state(self) -> list[str]:
        """Names of layers that keep a state from one call to the next."""
        return [each.name for each in stateful(self.model)]


def opened(job: Job, *, plain: bool = True, channels_last: bool = False) -> Source:
    """Open the source without augmentation and in 32 bits. `plain`: without fake quantization; its weights stay rounded."""
    model = frameworks.open_keras(job.source, job.model.name)
    inputs, outputs = frameworks.keras_specs(model, job.model.name)
    keras_augmentation.silence(model)
    if plain and frameworks.is_fake_quantized(job.source):
        from pipeline.frameworks import fake_quantization

        model = fake_quantization.plain(model)
    if is_half(model):
        model = _in_32_bits(model, job)
        keras_augmentation.silence(model)
    if channels_last:
        model = keras_layouts.channels_last(model)
    constants_of_numpy(model)
    names = [tuple(each.name for each in ends) for ends in (job.model.inputs or inputs, job.model.outputs or outputs)]
    return Source(model, job.model.name, *names)


def is_half(model: KerasModel) -> bool:
    """Return whether a layer computes in 16 bits, for which the formats have no operators."""
    layers = model._flatten_layers()  # noqa: SLF001 - Keras has no public way into layers in layers
    return any(str(getattr(each, "compute_dtype", "")) in HALF for each in layers)


def mentions_half(path: Path) -> bool:
    """Return whether a .keras file speaks of 16 bits at all. It is not opened as a model."""
    if not zipfile.is_zipfile(path):
        return True
    with zipfile.ZipFile(path) as file:
        return "config.json" in file.namelist() and b"float16" in file.read("config.json")


def _in_32_bits(model: KerasModel, job: Job) -> KerasModel:
    """Return the same layers, with the same weights, under a policy of 32 bits."""
    import keras

    try:
        text = json.dumps(keras.saving.serialize_keras_object(model))
        for half, whole in IN_32_BITS:
            text = text.replace(half, whole)
        twin = keras.saving.deserialize_keras_object(json.loads(text))
        twin.set_weights(model.get_weights())
        for layer in twin._flatten_layers():  # noqa: SLF001 - also inside wrappers
            follow_weights(layer)
    except Exception as error:
        raise StageError(
            f"{job.model.name} computes in 16 bits, and it cannot be built again in 32 ({type(error).__name__}: {cause_of(error)})",
            hint=advice.for_model(model, ""),
        ) from error
    return twin


def safe(names: Sequence[str]) -> dict[str, str]:
    """Return for each name one that TensorFlow takes for an argument of a function: itself, mostly."""
    found: dict[str, str] = {}
    for name in names:
        base = name
        if not SAFE.fullmatch(name) or name in RESERVED:
            base = "x_" + re.sub(r"[^A-Za-z0-9_]", "_", name)
        unique, number = base, 1
        while unique in found.values() or (unique != name and unique in names):
            unique, number = f"{base}_{number}", number + 1
        found[name] = unique
    return found
