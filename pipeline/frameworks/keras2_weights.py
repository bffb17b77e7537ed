"""The weights of a Keras 2 file, put into the layers of the model that was built from its configuration.

They are found by the names of the layers, so that no two branches can change places, and every weight must be given once.
"""

from typing import Any, NoReturn

import numpy as np

from pipeline.errors import ModelError
from pipeline.frameworks import keras2_config
from pipeline.frameworks.keras2_functions import STEEPER
from pipeline.frameworks.keras2_graph import Built
from pipeline.frameworks.rows import Array
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasVariable


def check_links(group: Any, file: str, seen: set[int] | None = None) -> None:
    """ModelError if something in an HDF5 file is a link: it may lead into another file, or in a circle."""
    import h5py

    seen = set() if seen is None else seen
    seen.add(h5py.h5o.get_info(group.id).addr)
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            _linked(file, key)
        inner = group[key]
        if isinstance(inner, h5py.Group):
            if h5py.h5o.get_info(inner.id).addr in seen:
                _linked(file, key)
            check_links(inner, file, seen)


def of_h5(group: Any, model: KerasModel, built: Built) -> None:
    """Return the weights of the group `model_weights` of an .h5 file."""
    for name, layer in built.layers[id(model)].items():
        told = _attribute(group[name], "weight_names") if name in group else []
        variables = [each for part in _parted(layer, built) for each in part]
        if len(told) != len(variables):
            _unlike(built.file, name, f"{len(told)} weights are stored and {len(variables)} needed")
        for path, variable in zip(told, variables, strict=True):
            stored = path.rpartition("/")[2].partition(":")[0]
            if stored != variable.name and stored in {each.name for each in variables}:
                _unlike(built.file, name, f"'{path}' is stored in the place of '{variable.name}'")
            _assign(variable, np.asarray(group[name][path]), built.file, name)
    _finish(model, built.file)


def of_archive(store: Any, model: KerasModel, built: Built) -> None:
    """Return the weights of the file `model.weights.h5` of a .keras archive."""
    _layers(store, model, built)
    _finish(model, built.file)


def _layers(group: Any, model: KerasModel, built: Built) -> None:
    """Layers are stored under the names of their classes, numbered in the order of the file."""
    from keras.src.utils import naming  # private: the names of the groups

    layers = group.get("layers", group.get("_layer_checkpoint_dependencies", {}))
    taken: dict[str, int] = {}
    for name, layer in built.layers[id(model)].items():
        kind = naming.to_snake_case(built.kinds[id(layer)])
        number = taken[kind] = taken.get(kind, -1) + 1
        stored = layers.get(f"{kind}_{number}" if number else kind, {})
        if id(layer) in built.layers:
            _layers(stored, layer, built)
        else:
            _layer(stored, layer, built.file, name)


def _layer(group: Any, layer: KerasLayer, file: str, name: str) -> None:
    """A layer's own variables, then those of the layers in it, which are stored under the names of its attributes."""
    own = [*layer._trainable_variables, *layer._non_trainable_variables]  # noqa: SLF001 - what Keras itself stores
    stored = group.get("vars", {})
    if len(stored) < len(own):
        _unlike(file, name, f"{len(stored)} weights are stored and {len(own)} needed")
    for number, variable in enumerate(own):
        _assign(variable, np.asarray(stored[str(number)]), file, name)
    for key in group:
        inner = getattr(layer, key, None) if key != "vars" else None
        if isinstance(inner, list):
            from keras.src.utils import naming

            for each in inner:
                _layer(group[key].get(naming.to_snake_case(type(each).__name__), {}), each, file, name)
        elif hasattr(inner, "_trainable_variables"):
            _layer(group[key], inner, file, name)


def _parted(layer: KerasLayer, built: Built) -> tuple[list[KerasVariable], list[KerasVariable]]:
    """The variables that are trained and those that are not, as Keras 2 counts them: of a model, in the order of its layers."""
    if id(layer) not in built.layers:
        return list(layer.trainable_weights), list(layer.non_trainable_weights)
    parts = [_parted(each, built) for each in dict.fromkeys(built.layers[id(layer)].values())]
    return [one for part in parts for one in part[0]], [one for part in parts for one in part[1]]


def _assign(variable: KerasVariable, value: Array, file: str, name: str) -> None:
    if tuple(variable.shape) != value.shape:
        _unlike(file, name, f"'{variable.name}' is stored as {value.shape}, and {tuple(variable.shape)} is needed")
    variable.assign(value.astype(str(variable.dtype)))


def _attribute(group: Any, name: str) -> list[str]:
    """A list of names; a long one is stored in parts."""
    parts = [group.attrs[name]] if name in group.attrs else []
    while not parts or f"{name}{len(parts)}" in group.attrs:
        if f"{name}{len(parts)}" not in group.attrs:
            break
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [each.decode() if isinstance(each, bytes) else str(each) for part in parts for each in part]


def _finish(model: KerasModel, file: str) -> None:
    """What Keras does when the weights are there, and the other slope of hard_sigmoid taken up by the weights before it."""
    import keras

    for layer in model._flatten_layers(include_self=False):  # noqa: SLF001 - Keras has no public way into layers in layers
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
        if getattr(layer, "activation", None) is keras.activations.hard_sigmoid:
            _steepen_all(layer, file)
        elif getattr(layer, "recurrent_activation", None) is keras.activations.hard_sigmoid:
            _steepen_gates(layer)


def _steepen_all(layer: KerasLayer, file: str) -> None:
    kind = type(layer).__name__
    if kind == "Activation":  # a Rescaling stands before it
        return
    if hasattr(layer, "recurrent_activation") or not kind.startswith(
        ("Dense", "Conv", "Depthwise", "Separable", "Einsum", "SimpleRNN")
    ):
        raise keras2_config.beyond(file, f"{kind} '{layer.name}'", "hard_sigmoid became another function")
    for variable in layer._trainable_variables:  # noqa: SLF001 - its own, not those of layers in it
        if not (kind.startswith("Separable") and variable.name == "depthwise_kernel"):
            variable.assign(np.asarray(variable) * np.float32(STEEPER))


def _steepen_gates(layer: KerasLayer) -> None:
    """The columns of the gates: input, forget, (cell), output of an LSTM; update, reset of a GRU."""
    parts = 4 if "LSTM" in type(layer).__name__ else 3
    for variable in layer._trainable_variables:  # noqa: SLF001 - a cell's own
        value = variable.numpy().copy()
        size = value.shape[-1] // parts
        gates = [0, 1, 3] if parts == 4 else [0, 1]
        for gate in gates:
            value[..., gate * size : (gate + 1) * size] *= np.float32(STEEPER)
        variable.assign(value)


def _linked(file: str, key: str) -> NoReturn:
    raise ModelError(
        f"{file}: its weights '{key[:100]}' are a link to another place",
        hint="Save it again with model.save: edgepress takes a model in one file.",
    )


def _unlike(file: str, name: str, why: str) -> NoReturn:
    raise ModelError(
        f"the weights of {file} do not fit its layer '{name[:100]}': {why}",
        hint="Copy it again, or save it again from the program that made it.",
    )
