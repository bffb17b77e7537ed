"""A Keras 3 model built, call by call, from the configuration of a Keras 2 one."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import ModelError
from pipeline.frameworks import keras2_config, keras2_functions
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasTensor, LayerConfig, NodeConfig

CONSTANT = "_CONSTANT_VALUE"
Calls = dict[tuple[str, int], list[KerasTensor]]
"""(Name of a layer, number of its call) -> what the call gave."""


class Built:
    """What was built: the models, and of each its layers in the order and under the names of the file."""

    def __init__(self, file: str, custom_objects: Mapping[str, Any] | None = None) -> None:
        self.file, self.own = file, custom_objects or {}
        self.layers: dict[int, dict[str, KerasLayer]] = {}
        self.shared: dict[int, KerasLayer] = {}
        self.kinds: dict[int, str] = {}

    def model(self, config: LayerConfig) -> KerasModel:
        """The model of `{"class_name": ..., "config": ...}`. ModelError names the layer that Keras 3 does not have."""
        kind, inner = config.get("class_name"), config.get("config")
        if kind == "Sequential":
            return self._sequential(inner if isinstance(inner, dict) else {"layers": inner})
        if kind in keras2_config.MODELS and isinstance(inner, dict) and "output_layers" in inner:
            return self._functional(inner)
        raise keras2_config.beyond(
            self.file, f"{str(kind)[:60]}", "it is a class of its own, whose code is not in the file"
        )

    def _layer(self, config: LayerConfig) -> KerasLayer:
        """A layer; one that stands in several models of the file is made once."""
        import keras

        number = config.get("shared_object_id")
        if number in self.shared:
            return self.shared[number]
        if config.get("class_name") in keras2_config.MODELS:
            layer = self.model(config)
        elif config.get("class_name") in self.own:
            kind, settings = config["class_name"], dict(config["config"])
            settings.pop("batch_input_shape", None)
            if not (isinstance(self.own[kind], type) and issubclass(self.own[kind], keras.layers.Layer)):
                why = "the class that custom_objects gives for it is not a layer of Keras 3"
                raise keras2_config.beyond(self.file, f"{kind} '{settings.get('name')}'", why)
            layer = self.own[kind].from_config(keras2_config.renamed(kind, settings))
        else:
            kind, settings = keras2_config.repaired(config, self.file)
            try:
                layer = keras.layers.deserialize(
                    {"module": "keras.layers", "class_name": kind, "config": settings, "registered_name": None}
                )
            except Exception as error:
                raise keras2_config.beyond(
                    self.file,
                    f"{kind} '{settings.get('name')}'",
                    str(error).rpartition("Exception encountered: ")[2][:200],
                ) from error
        self.kinds[id(layer)] = str(config.get("class_name"))
        if isinstance(number, int):
            self.shared[number] = layer
        return layer

    def _sequential(self, config: LayerConfig) -> KerasModel:
        import keras

        model, found = keras.Sequential(name=_name(config)), {}
        first = config["layers"][0]
        shape = first["config"].get("batch_input_shape") or config.get("build_input_shape")
        if first["class_name"] != "InputLayer" and shape:
            dtype = first["config"].get("dtype") if isinstance(first["config"].get("dtype"), str) else "float32"
            model.add(keras.Input(batch_shape=shape, dtype=dtype))
        for each in config["layers"]:
            layer = self._layer(each)
            found[str(each["config"].get("name"))] = layer
            if _is_hard_sigmoid(layer):
                model.add(keras.layers.Rescaling(keras2_functions.STEEPER, name=f"{layer.name}_slope"))
            model.add(layer)
        self.layers[id(model)] = found
        return model

    def _functional(self, config: LayerConfig) -> KerasModel:
        import keras

        calls: Calls = {}
        todo: list[tuple[LayerConfig, int, Any]] = []
        layers: dict[str, KerasLayer] = {}
        for each in config["layers"]:
            name = str(each["config"].get("name") or each.get("name"))
            if each["class_name"] not in keras2_config.FUNCTIONS:
                layers[name] = self._layer(each)
            if each["class_name"] == "InputLayer":
                calls[name, 0] = [layers[name].output]
            todo += [(each, index, node) for index, node in enumerate(each.get("inbound_nodes", []), _first(each))]
        while todo:
            waiting = []
            for each, index, node in todo:
                if _ready(node, calls):
                    name = str(each["config"].get("name") or each.get("name"))
                    calls[name, index] = keras.tree.flatten(self._called(each, layers.get(name), node, calls))
                else:
                    waiting.append((each, index, node))
            if len(waiting) == len(todo):
                raise ModelError(
                    f"{self.file} is damaged: its layer '{todo[0][0]['config'].get('name')}' waits for one that is not there",
                    hint="Copy it again, or save it again from the program that made it.",
                )
            todo = waiting
        inputs, outputs = (_filled(config[key], calls) for key in ("input_layers", "output_layers"))
        _name_the_rest(
            keras.tree.flatten(outputs), {each.name for each in layers.values()}, set(map(id, layers.values()))
        )
        model = keras.Model(_single(inputs), _single(outputs), name=_name(config))
        self.layers[id(model)] = layers
        return model

    def _called(self, config: LayerConfig, layer: KerasLayer, node: NodeConfig, calls: Calls) -> Any:
        """What one call of a layer gives."""
        import keras

        inputs, options = _arguments(node, calls)
        if layer is None:
            return keras2_functions.called(config, inputs, options, self.file)
        options = {key: value for key, value in options.items() if value is not None}
        if _is_hard_sigmoid(layer):
            inputs = keras.layers.Rescaling(keras2_functions.STEEPER, name=f"{layer.name}_slope")(inputs)
        if isinstance(inputs, list) and len(inputs) > 1 and hasattr(layer, "return_sequences"):
            if (mask := getattr(inputs[0], "_keras_mask", None)) is not None:
                options.setdefault("mask", mask)  # Keras 3 finds it by itself only where there is one tensor
            return layer(inputs[0], initial_state=inputs[1:], **options)  # Keras 2 gave a list
        if id(layer) in self.layers and any(
            getattr(each, "_keras_mask", None) is not None for each in keras.tree.flatten(inputs)
        ):
            why = "it is given a mask (mask_zero, Masking), and Keras 3 passes none through a model inside a model"
            raise keras2_config.beyond(self.file, f"model '{layer.name}'", why)
        try:
            return layer(inputs, **options)
        except Exception as error:
            raise keras2_config.beyond(
                self.file, f"{config['class_name']} '{layer.name}'", str(error).strip().splitlines()[0][:200]
            ) from error


def _name_the_rest(outputs: list[KerasTensor], taken: set[str], named: set[int]) -> None:
    """Give the functions between the layers names of their own: Keras numbers them through the process, past the names of the file."""
    todo, seen = list(outputs), set()
    while todo:
        history = todo.pop()._keras_history  # noqa: SLF001 - Keras has no public way to see the calls
        operation = history.operation
        if (id(operation), history.node_index) in seen:
            continue
        seen.add((id(operation), history.node_index))
        todo += operation._inbound_nodes[history.node_index].input_tensors  # noqa: SLF001
        if id(operation) in named:
            continue
        named.add(id(operation))
        stem = type(operation).__name__.lower()
        operation.name = next(
            name for name in (f"{stem}_{number}" for number in itertools.count()) if name not in taken
        )
        taken.add(operation.name)


def _name(config: LayerConfig) -> str | None:
    name = config.get("name")
    return str(name).replace("/", "_") if name else None


def _first(layer: LayerConfig) -> int:
    """The number of the first call that a file counts: a model that begins with its input was called once when it was made."""
    if layer["class_name"] == "Sequential":
        inner = layer["config"]["layers"] if isinstance(layer["config"], dict) else layer["config"]
        return int(bool(inner) and inner[0]["class_name"] == "InputLayer")
    return int(layer["class_name"] in keras2_config.MODELS)


def _is_reference(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (3, 4) and isinstance(value[0], str) and isinstance(value[1], int)


def _references(value: Any) -> list[list[Any]]:
    if _is_reference(value):
        return [value, *(_references(value[3]) if len(value) == 4 else [])]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for each in inner for found in _references(each)]


def _ready(node: NodeConfig, calls: Calls) -> bool:
    return all(each[0] == CONSTANT or (each[0], each[1]) in calls for each in _references(node))


def _filled(value: Any, calls: Calls) -> Any:
    """The structure with tensors in the place of references to them."""
    if _is_reference(value):
        return value[2] if value[0] == CONSTANT else calls[value[0], value[1]][value[2]]
    if isinstance(value, dict):
        return {key: _filled(each, calls) for key, each in value.items()}
    return [_filled(each, calls) for each in value] if isinstance(value, list) else value


def _arguments(node: NodeConfig, calls: Calls) -> tuple[Any, dict[str, Any]]:
    """What a layer is called with: its first argument, and the named ones, which stand with the first tensor."""
    first = next((each for each in _references(node) if len(each) == 4), None)
    return _single(_filled(node, calls)), _filled(first[3], calls) if first else {}


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, Sequence) and len(value) == 1 else value


def _is_hard_sigmoid(layer: KerasLayer) -> bool:
    import keras

    return isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.hard_sigmoid
