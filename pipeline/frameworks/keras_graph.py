"""Walking through the graph of a Keras model, to build another one like it."""

from collections.abc import Callable, Iterator
from typing import Any

from pipeline.frameworks.rows import Array
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasNode, KerasTensor, LayerConfig, Nested

Visit = Callable[..., KerasTensor]


def rebuild(model: KerasModel, visit: Visit, enter: Callable[[KerasTensor], KerasTensor] = lambda x: x) -> KerasModel:
    """The functional model that comes out when `visit(node, *inputs)` stands for every call of a layer, in the order of the graph.

    `node.operation` is the layer, `node.outputs` are the tensors that it gave in `model`, which stays as it was. Nested models are
    walked through as if their layers stood in the model itself. `enter(input)` is what the layers take for an input of the model.
    """
    import keras

    inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name) for x in model.inputs]
    outputs = _through(model, [enter(x) for x in inputs], visit)
    one = [side[0] if len(side) == 1 else side for side in (inputs, outputs)]  # as it would be called by hand
    return keras.Model(*one, name=model.name)


def graph_of(model: KerasModel) -> KerasModel | None:
    """The Functional model that holds the calls; None where there is none, as in a subclassed model or a Sequential not yet built."""
    graph = getattr(model, "_functional", model)  # a Sequential has its calls in a Functional model of its own
    return graph if hasattr(graph, "_nodes_by_depth") else None


def nodes_of(model: KerasModel) -> Iterator[KerasNode]:
    """Yield every call of a layer, inputs before what takes them. A nested model is one call."""
    graph: KerasModel = graph_of(model)
    for depth in sorted(graph._nodes_by_depth, reverse=True):  # noqa: SLF001 - Keras has no public way to see the calls
        yield from (node for node in graph._nodes_by_depth[depth] if not node.is_input)  # noqa: SLF001


def consumers(model: KerasModel) -> dict[int, list[KerasNode]]:
    """Id of a tensor -> the calls that take it, in a model without nested models; the model's own output is a None."""
    found: dict[int, list[KerasNode]] = {id(x): [None] for x in model.outputs}
    for node in nodes_of(model):
        for x in node.input_tensors:
            found.setdefault(id(x), []).append(node)
    return found


def follow_weights(layer: KerasLayer) -> None:
    """Bring up to date what a layer has computed of its weights once, as Normalization does of its mean: call it after they were set.

    Keras does so for what it adapts and what it loads, and for nothing else (3.15).
    """
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()


class Copies:
    """Layers made again, with the weights of the old ones: a layer that is called twice is copied once."""

    def __init__(self) -> None:
        self.made: dict[int, KerasLayer] = {}
        self.names: set[str] = set()

    def call(self, layer: KerasLayer, *args: Any, **options: Any) -> KerasTensor:
        """Return what a copy of the layer gives."""
        if not hasattr(layer, "get_weights"):  # a function of keras.ops keeps nothing
            return layer(*args, **options)
        return self.replace(layer, lambda config: type(layer).from_config(config), layer.get_weights, *args, **options)

    def replace(
        self,
        layer: KerasLayer,
        make: Callable[[LayerConfig], KerasLayer],
        weights: Callable[[], list[Array]],
        *args: Any,
        **options: Any,
    ) -> KerasTensor:
        """Return what `make(config)` gives, a layer that takes the place of `layer`, with these weights."""
        known = self.made.get(id(layer))
        if known is not None:
            return known(*args, **options)
        new = self.made[id(layer)] = make(layer.get_config() | {"name": self.name(layer.name)})
        outputs = new(*args, **options)
        new.set_weights(weights())
        follow_weights(new)
        return outputs

    def name(self, wanted: str) -> str:
        """A name that no layer of this model has yet: those of nested models may be used twice."""
        name, count = wanted, 1
        while name in self.names:
            name, count = f"{wanted}_{count}", count + 1
        self.names.add(name)
        return name


def _through(model: KerasModel, inputs: Nested, visit: Visit) -> list[KerasTensor]:
    import keras

    found = dict(zip(map(id, model.inputs), keras.tree.flatten(inputs), strict=True))
    for node in nodes_of(model):
        args, options = node.arguments.fill_in(found)
        nested = isinstance(node.operation, keras.Model)
        outputs = _through(node.operation, args, visit) if nested else visit(node, *args, **options)
        found |= zip(map(id, node.outputs), keras.tree.flatten(outputs), strict=True)
    return [found[id(x)] for x in model.outputs]
