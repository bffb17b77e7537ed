"""Groups: layers whose channels go together, and the sets of channels that can go."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.compress.settings import check_names
from pipeline.compress.surgery.channels import Components, Ids
from pipeline.compress.surgery.wiring import Producer, Wiring


class Group(NamedTuple):
    """Layers that lose channels together."""

    layers: tuple[str, ...]
    channels_before: int
    channels_after: int
    kind: str = "channels"  # or heads, of attention


class KeptLayer(NamedTuple):
    """A layer that stayed as it was, or wider than was asked."""

    layer: str
    why: str


class ChannelSet(NamedTuple):
    """The components that a group of layers makes."""

    producers: tuple[Producer, ...]
    components: Ids
    width: int  # channels of one component in the narrowest tensor

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(producer.name for producer in self.producers))

    @property
    def kind(self) -> str:
        heads = any(producer.kind == "heads" for producer in self.producers)
        return "heads" if heads else "channels"

    @property
    def channels(self) -> int:
        return len(self.components) * self.width

    def after(self, gone: int = 0) -> Group:
        return Group(self.layers, self.channels, self.channels - gone * self.width, self.kind)


class Grouped(NamedTuple):
    components: Components
    groups: tuple[ChannelSet, ...]  # in the order of the graph
    left: tuple[KeptLayer, ...]  # layers some or all of whose channels have to stay


def grouped(wiring: Wiring, exclude: Iterable[str] = ()) -> Grouped:
    """Resolve the ties, and sort the components by the layers that make them. PlanError if `exclude` names no layer."""
    check_names(exclude, list(wiring.put_out), "prune_channels.exclude")
    for name in exclude:
        for ids in wiring.put_out[name]:
            wiring.channels.keep(ids, "it is excluded", first=True)
    components = wiring.channels.components()
    producers = list(wiring.producers.values())
    makers: dict[int, list[int]] = defaultdict(list)
    for i, producer in enumerate(producers):
        for component in np.unique(components.of[producer.ids]):
            makers[int(component)].append(i)
    sets: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for component, by in makers.items():
        if component not in components.kept:
            sets[tuple(by)].append(component)
    widths = _widths(wiring, components)
    groups = [
        ChannelSet(
            tuple(producers[i] for i in by), np.array(members), math.gcd(*(int(widths[each]) for each in members))
        )
        for by, members in sorted(sets.items())
        if len(members) > 1  # the last channel has to stay
    ]
    return Grouped(components, tuple(groups), tuple(_left(producers, components, groups)))


def _widths(wiring: Wiring, components: Components) -> Ids:
    """Return how many channels each component has in the narrowest tensor. (Heads are in none: 1.)"""
    widths = np.full(len(components.of), np.iinfo(np.intp).max)
    tensors = {id(ids): ids for several in wiring.put_out.values() for ids in several}
    for ids in tensors.values():
        each, counts = np.unique(components.of[ids], return_counts=True)
        widths[each] = np.minimum(widths[each], counts)
    widths[widths == np.iinfo(np.intp).max] = 1
    return widths


def _left(producers: Sequence[Producer], components: Components, groups: Sequence[ChannelSet]) -> Iterable[KeptLayer]:
    free = {int(component) for group in groups for component in group.components}
    for producer in producers:
        of = [int(component) for component in components.of[producer.ids]]
        stay = [component for component in of if component not in free]
        if stay:
            why = next((components.kept[each] for each in stay if each in components.kept), "they only go all together")
            whole = len(stay) == len(of) and producer.kind == "channels"
            some = "" if whole else f"{len(stay)} of its {len(of)} {producer.kind}: "
            yield KeptLayer(producer.name, some + why)
