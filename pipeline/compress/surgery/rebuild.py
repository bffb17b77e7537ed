"""The same model with fewer channels: every layer made again from its config, every weight without what was removed."""

import numpy as np

from pipeline.compress.surgery.channels import Axes, Ids
from pipeline.compress.surgery.graph import functional, is_model
from pipeline.compress.surgery.wiring import Size, Wiring
from pipeline.errors import StageError
from pipeline.frameworks import Array
from pipeline.frameworks.keras_graph import follow_weights, nodes_of
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasTensor, LayerConfig, Nested


def rebuilt(model: KerasModel, wiring: Wiring, of: Ids, dead: Ids) -> KerasModel:
    """Return a smaller copy, not compiled, with the names, the dtypes and the trainable flags of the original."""
    alive = np.isin(of, dead, invert=True)
    builder = Builder(wiring, alive)
    new = builder.model(model)
    for old, made in builder.made:
        if not is_model(old):
            _fill(old, made, wiring, alive)
    for old, made in reversed(builder.made):  # outer models first: setting theirs sets all that is inside
        made.trainable = old.trainable
    return new


class Builder:
    """Makes each layer once."""

    def __init__(self, wiring: Wiring, alive: Array) -> None:
        self.wiring, self.alive = wiring, alive
        self.copies: dict[int, KerasLayer] = {}
        self.made: list[tuple[KerasLayer, KerasLayer]] = []  # layers, each with its copy; a model after what is inside

    def copy(self, layer: KerasLayer) -> KerasLayer:
        if id(layer) not in self.copies:
            self.copies[id(layer)] = self.model(layer) if is_model(layer) else self._layer(layer)
        return self.copies[id(layer)]

    def model(self, model: KerasModel) -> KerasModel:
        """Copy the model, but not with keras.models.clone_model: that compiles the copy, and fails on a loss that is a function."""
        import keras

        graph = functional(model)
        inputs = keras.tree.map_structure(self._input, graph.input)
        if isinstance(model, keras.Sequential):
            new = keras.Sequential([*keras.tree.flatten(inputs), *map(self.copy, model.layers)], name=model.name)
        else:
            new = self._functional(model, graph, inputs)
        self.made.append((model, new))
        return new

    def _functional(self, model: KerasModel, graph: KerasModel, inputs: Nested) -> KerasModel:
        import keras

        known = {id(old): new for old, new in zip(graph.inputs, keras.tree.flatten(inputs), strict=True)}
        for node in nodes_of(graph):
            args, kwargs = node.arguments.fill_in(known)
            outputs = keras.tree.flatten(self.copy(node.operation)(*args, **kwargs))
            known.update({id(old): new for old, new in zip(node.outputs, outputs, strict=True)})
        outputs = keras.tree.map_structure(lambda old: known[id(old)], graph.output)
        try:
            return type(model)(inputs, outputs, name=model.name)
        except TypeError as error:
            raise _no_copy(model, error) from error

    def _input(self, tensor: KerasTensor) -> KerasTensor:
        import keras

        layer = tensor._keras_history.operation  # noqa: SLF001 - the tensor's own name is lost when a model is saved
        axes = self.wiring.axes[id(tensor)]
        shape = tuple(size if ids is None else self._count(ids) for size, ids in zip(tensor.shape, axes, strict=True))
        return keras.Input(batch_shape=shape, dtype=tensor.dtype, sparse=tensor.sparse, name=layer.name)

    def _layer(self, layer: KerasLayer) -> KerasLayer:
        import keras

        try:
            new = type(layer).from_config(self._config(layer))
        except Exception as error:  # what a layer's own code raises can be anything
            raise _no_copy(layer, error) from error
        if isinstance(layer, keras.Layer):
            self.made.append((layer, new))
        return new

    def _config(self, layer: KerasLayer) -> LayerConfig:
        config: LayerConfig = layer.get_config()
        self._resize(config, layer)
        for key, inner in (("layer", "layer"), ("layer", "forward_layer"), ("backward_layer", "backward_layer")):
            if isinstance(config.get(key), dict) and id(getattr(layer, inner, None)) in self.wiring.sizes:
                self._resize(config[key]["config"], getattr(layer, inner))
                config[key].pop("build_config", None)  # the shapes that the inner layer had
        return config

    def _resize(self, config: LayerConfig, layer: KerasLayer) -> None:
        sizes = self.wiring.sizes.get(id(layer), {})
        ids = [each for size in sizes.values() for each in (size if isinstance(size, tuple) else (size,))]
        if any(isinstance(each, np.ndarray) and not self.alive[each].all() for each in ids):
            config.update({key: self._count(size) for key, size in sizes.items()})

    def _count(self, size: Size) -> int | tuple[int | None, ...]:
        if isinstance(size, tuple):
            return tuple(int(self.alive[each].sum()) if isinstance(each, np.ndarray) else each for each in size)
        return int(self.alive[size].sum())


def _fill(old: KerasLayer, new: KerasLayer, wiring: Wiring, alive: Array) -> None:
    """Copy the weights, and the states of random generators."""
    for source, target in zip(old.variables, new.variables, strict=True):
        target.assign(_sliced(np.asarray(source), wiring.axes.get(id(source), ()), alive))
    follow_weights(new)


def _sliced(values: Array, axes: Axes, alive: Array) -> Array:
    for axis, ids in enumerate(axes):
        if ids is not None and not alive[ids].all():
            values = np.compress(alive[ids], values, axis=axis)
    return values


def _no_copy(layer: KerasLayer, error: Exception) -> StageError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return StageError(
        f"layer '{layer.name}' ({type(layer).__name__}) cannot be made again from its config: {lines[-1].strip()[:200]}",
        hint="Give its class a get_config that returns all arguments of its constructor; without it, such a model cannot be pruned.",
    )
