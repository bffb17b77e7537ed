"""Keras 3 models on TensorFlow, as a kind of model that passes work on."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline import frameworks
from pipeline.compress import cost
from pipeline.compress.formats.base import Interface
from pipeline.compress.rows import inputs_of, outputs_of
from pipeline.errors import EdgepressError, StageError
from pipeline.frameworks import Array, Count, Feeds
from pipeline.frameworks.runner import State
from pipeline.frameworks.types import KerasLayer, KerasModel


class Keras:
    def open(self, path: Path, name: str) -> KerasModel:
        return frameworks.open_keras(path, name)

    def save(self, model: KerasModel) -> bytes:
        return frameworks.save_keras(model)

    def read_back(self, file: bytes) -> KerasModel:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            path.write_bytes(file)
            return frameworks.open_keras(path)

    def reopened(self, model: KerasModel) -> tuple[bytes, KerasModel]:
        """Return the file of the model, and what is read back from it. StageError names the layer that cannot be saved or read."""
        try:
            file = self.save(model)
            return file, self.read_back(file)
        except OSError:  # the disk, not the model
            raise
        except Exception as error:  # what a layer's own code raises can be anything
            _check_layers(model)
            if isinstance(error, EdgepressError):
                raise
            raise _not_reopened(model.name, error) from error

    def is_rounded(self, model: KerasModel) -> bool:
        """Return whether it went through quantize_aware."""
        from pipeline.frameworks import fake_quantization

        return any(fake_quantization.is_rounding(layer) for layer in layers_of(model))

    def set_seed(self, seed: int) -> None:
        import keras

        keras.utils.set_random_seed(seed)

    def interface(self, model: KerasModel) -> Interface:
        """Names, shapes of whole tensors and dtypes of all inputs and outputs."""
        return inputs_of(model), outputs_of(model)

    def weights(self, model: KerasModel) -> Iterator[tuple[str, Array]]:
        """Path and values of every floating point weight."""
        for variable in model.weights:
            values = np.asarray(variable)
            if np.issubdtype(values.dtype, np.floating):
                yield variable.path, values

    def multiply_accumulates(self, model: KerasModel) -> int | None:
        return cost.of_keras(model)

    def answers(
        self, model: KerasModel, feeds: Feeds, folder: Path, count: Count, state: State = ()
    ) -> tuple[Array, ...]:
        return frameworks.KerasRunner(model, str(model.name)).answers(feeds, folder, count, state)


def _check_layers(model: KerasModel) -> None:
    """Raise StageError for the first layer that cannot be made again from what a file holds of it."""
    from keras import saving

    for layer in layers_of(model):
        try:
            saving.deserialize_keras_object(json.loads(json.dumps(saving.serialize_keras_object(layer))))
        except Exception as error:
            raise _not_reopened(f"layer '{layer.name}' ({type(layer).__name__})", error) from error


def _not_reopened(what: str, error: Exception) -> StageError:
    lines = [type(error).__name__, *str(error).strip().splitlines()]
    return StageError(
        f"{what} cannot be saved and read back: {': '.join(line.strip()[:200] for line in lines[:2])}",
        hint="Decorate the layer's class with @keras.saving.register_keras_serializable(), and give it a get_config that returns all "
        "arguments of its constructor. The model is as it was.",
    )


def layers_of(model: KerasModel) -> Iterator[KerasLayer]:
    """Yield every layer of a Keras model once, also inside nested models, in the order of the graph."""
    seen: set[int] = set()

    def walk(outer: KerasModel) -> Iterator[KerasLayer]:
        for layer in outer.layers:
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            if hasattr(layer, "layers"):
                yield from walk(layer)
            else:
                yield layer

    yield from walk(model)
