"""Take a few channels out of an ONNX network, without training it: the file gets smaller and the network does less.

Without training this is good for small ratios only: in our measurements a small Fashion-MNIST net fell from 90 %
to 38 % at a quarter of the channels, and to 67 % after its statistics were estimated again; at a tenth it was 87 %. So `ratio` ends at
0.25, and the report should be looked at. A model that can still be trained is better pruned before it is exported.

Channels are numbered through the whole graph (`channels`), coupled ones go together, and a channel is weighed by its weights (L1:
arXiv 1608.08710) with batch normalisation folded in. The smaller graph is compared with the old one whose consumers do not see the dead
channels: they must answer the same, on the first rows.

Then the statistics are set right without labels (`statistics`).
"""

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from pipeline.compress.base import Changed, Claims
from pipeline.compress.context import Context
from pipeline.compress.onnx_graph import statistics
from pipeline.compress.onnx_graph.channels import Channels
from pipeline.compress.onnx_graph.fold import fold
from pipeline.compress.onnx_graph.graph import Graph, Layer, attribute, copy_of, name_of
from pipeline.compress.onnx_graph.runs import difference, rows_of, shapes_of_run
from pipeline.compress.settings import PassSettings, check_names
from pipeline.compress.surgery.importance import sizes_along
from pipeline.errors import PlanError, PromiseError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import OnnxModel, OnnxNode

LARGEST_RATIO = 0.25
ROUNDING = 1e-5  # largest difference from the masked original, relative to the largest answer
PROOF_ROWS = 4


class Settings(PassSettings, frozen=True):
    ratio: Annotated[float, Meta(gt=0, lt=1)]  # share of the channels of each layer that goes
    importance: Literal["l1", "l2", "random"] = "l1"
    round_to: Annotated[int, Meta(ge=1, le=1024)] = (
        8  # a layer keeps a multiple of this number, but loses no more than 0.25
    )
    min_channels: Annotated[int, Meta(ge=1)] = 1  # a layer keeps at least this number
    exclude: tuple[str, ...] = ()  # names of nodes whose channels stay


class Selected(Channels):
    """The channels of a graph, and which of them go."""

    def __init__(self, graph: Graph, shapes: dict[str, tuple[int, ...]], settings: Settings, seed: int) -> None:
        super().__init__(graph, shapes, settings.exclude)
        self.settings = settings
        self.draw = np.random.default_rng(seed)
        self.dead = self._choose()

    def _choose(self) -> Array:
        """Roots of the channels that go: in each group of layers that hang together, the least important ones."""
        makers: dict[int, list[str]] = {}
        weights: dict[int, float] = {}
        for cut in self.cuts:
            if cut.role == "makes":
                sizes = self._importance(cut.node, cut.axis)
                for root, size in zip(self.numbers.roots(cut.ids).tolist(), sizes.tolist(), strict=True):
                    makers.setdefault(root, []).append(name_of(cut.node))
                    weights[root] = weights.get(root, 0.0) + size
        groups: dict[tuple[str, ...], list[int]] = {}
        for root, names in makers.items():
            if root not in self.numbers.kept:
                groups.setdefault(tuple(sorted(set(names))), []).append(root)
        dead: list[int] = []
        for members in groups.values():
            members.sort(key=lambda root: weights[root])
            dead += members[: len(members) - self._stay(len(members))]
        return np.asarray(sorted(dead), int)

    def _stay(self, count: int) -> int:
        """Return how many of that many channels stay."""
        step = self.settings.round_to
        rounded = round((1 - self.settings.ratio) * count / step) * step
        if rounded < (1 - LARGEST_RATIO) * count:
            rounded += step
        return min(count, max(rounded, self.settings.min_channels, 1))

    def _importance(self, node: OnnxNode, axis: int) -> Array:
        values = self.graph.input_value(node, 1)
        assert values is not None  # Channels looked
        if self.settings.importance == "random":
            return self.draw.random((values.shape[axis],))
        return sizes_along(values, axis, self.settings.importance)

    def stays(self, ids: Array) -> Array:
        """Return whether each of these channels stays."""
        stays: Array = ~np.isin(self.numbers.roots(ids), self.dead)
        return stays

    def whole(self) -> dict[str, str]:
        """Layers that lose no channel -> why."""
        found = {}
        for cut in self.cuts:
            if cut.role == "makes":
                why = [self.numbers.kept.get(root) for root in self.numbers.roots(cut.ids).tolist()]
                if None not in why and why[0]:
                    found[name_of(cut.node)] = why[0]
        return found

    def survivors(self, layer: Layer) -> Array:
        """Return which of the channels that a layer makes stay."""
        for cut in self.cuts:
            if cut.node is layer.node and cut.at == 1 and cut.axis == layer.output_axis and cut.role != "reads":
                return self.stays(cut.ids)
        return np.ones(self.graph.channels(layer), bool)

    def mask(self, graph: Graph) -> None:
        """In a graph of the same nodes, let no layer see the channels that go."""
        nodes = {node.output[0]: node for node in graph.nodes}
        for cut in self.cuts:
            if cut.role == "reads":
                node = nodes[cut.node.output[0]]
                values = np.array(graph.input_value(node, cut.at))
                np.moveaxis(values, cut.axis, 0)[~self.stays(cut.ids)] = 0
                graph.put(node, cut.at, values)

    def cut(self) -> None:
        """Take the dead channels out of the graph."""
        for node, index in self.reshapes:
            shape = self.graph.input_value(node, index)
            if shape is not None:
                self.graph.put(node, index, self._new_shape(node.output[0], shape))
        for cut in self.cuts:
            stays = self.stays(cut.ids)
            if stays.all():
                continue
            values = self.graph.input_value(cut.node, cut.at)
            assert values is not None  # Channels looked
            self.graph.put(cut.node, cut.at, values.compress(stays, cut.axis))
            if cut.role == "follows" and cut.node.op_type == "Conv" and cut.at == 1:
                next(each for each in cut.node.attribute if each.name == "group").i = self._groups(cut.node, stays)
        self.graph.tidy()

    @staticmethod
    def _groups(node: OnnxNode, stays: Array) -> int:
        each = len(stays) // int(attribute(node, "group", 1))
        return int(stays.sum()) // each

    def _new_shape(self, name: str, shape: Array) -> Array:
        ids, true, new = self.ids[name], self.shapes[name], np.array(shape)
        for axis in range(min(len(shape), ids.ndim)):
            if ids.shape[axis] > 1 and new[axis] == true[axis]:
                new[axis] = int(
                    self.stays(np.moveaxis(ids, axis, 0).reshape(len(np.moveaxis(ids, axis, 0)), -1)[:, 0]).sum()
                )
        return new


def requires(model: OnnxModel, settings: Settings, context: Context) -> None:
    """Refuse ratios that nothing but training would repair, names that no node has, and plans without rows."""
    if settings.ratio > LARGEST_RATIO:
        raise PlanError(
            f"prune_channels.ratio is {settings.ratio:g}, but an ONNX model cannot be trained here, and without training "
            f"more than {LARGEST_RATIO:g} leaves little: at 25 % a small Fashion-MNIST net fell from 90 % to between 38 % and 67 %",
            hint="Use 0.1 to 0.15 and look at the accuracy, or prune the Keras or PyTorch model, train it, and export it then.",
        )
    graph = copy_of(model)
    check_names(
        settings.exclude, [layer.name for layer in graph.layers()], "prune_channels.exclude", "node with weights"
    )
    rows_of(model, context, "prune_channels")


def apply(model: OnnxModel, settings: Settings, context: Context) -> Changed:
    """Choose, cut, compare, and set the statistics right."""
    graph = Graph(model)
    fold(graph)
    rows = rows_of(model, context, "prune_channels")
    selected = Selected(graph, shapes_of_run(model, rows), settings, context.seed)
    whole = selected.whole()
    if not len(selected.dead):
        raise StageError(
            f"prune_channels finds no channel to take out of this graph with ratio {settings.ratio:g}",
            hint=f"A layer keeps a multiple of round_to = {settings.round_to} channels: make it smaller. "
            + _told(whole),
        )
    original = copy_of(model)
    masked = copy_of(model)
    selected.mask(masked)
    survivors = [selected.survivors(layer) for layer in graph.layers()]
    selected.cut()
    apart = difference(masked.model, model, rows.take(slice(PROOF_ROWS)))
    if apart > ROUNDING:
        raise StageError(
            f"the pruned graph answers differently from the original without the dead channels (relative difference {apart:.2g})",
            hint="This is a fault of prune_channels; exclude layers until it works, and report the model's operators.",
        )
    statistics.restore(original, graph, rows, context.tell, survivors=survivors)
    return Changed(model, notes=(_told(whole),) if whole else ())


def _told(whole: dict[str, str], most: int = 5) -> str:
    """Say which layers keep all their channels, and why."""
    some = [f"{name} ({why})" for name, why in list(whole.items())[:most]]
    more = f" and {len(whole) - most} more" if len(whole) > most else ""
    return f"All channels stay in {', '.join(some)}{more}." if some else ""


def ensures(before: OnnxModel, after: OnnxModel, settings: Settings) -> Claims:
    """There are fewer channels, no layer lost more than it may, and the nodes are the same."""
    del settings  # rounding may take less or more than the ratio, but never more than LARGEST_RATIO
    old, new = copy_of(before), copy_of(after)
    fold(old)
    if [node.op_type for node in old.nodes] != [node.op_type for node in new.nodes]:
        raise PromiseError("the nodes of the graph have changed", hint="This is a fault of the pass: report it.")
    channels = [
        (was.name, old.channels(was), new.channels(now)) for was, now in zip(old.layers(), new.layers(), strict=True)
    ]
    for name, was, now in channels:
        if now < was * (1 - LARGEST_RATIO) or now > was:
            raise PromiseError(
                f"'{name}' had {was} channels and has {now}", hint="This is a fault of the pass: report it."
            )
    total = [sum(counts) for counts in list(zip(*channels, strict=True))[1:]]
    if total[1] == total[0]:
        raise PromiseError("no channel was removed", hint="This is a fault of the pass: report it.")
    return {
        "channels_before": float(total[0]),
        "channels_after": float(total[1]),
        "pruned_layers": float(sum(now < was for _, was, now in channels)),
    }
