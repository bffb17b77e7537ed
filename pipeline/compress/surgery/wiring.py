"""What is found on the walk over a model, and what a rule sees of one call of a layer."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline.compress.surgery.channels import Axes, Channels, Ids
from pipeline.frameworks.types import KerasLayer, KerasTensor, KerasVariable

Size = Ids | tuple[int | Ids | None, ...]
"""A number in a layer's config that counts channels, or a shape of which some numbers do."""


class Producer(NamedTuple):
    """A layer that makes channels of its own."""

    layer: KerasLayer
    name: str
    ids: Ids
    kernels: tuple[
        tuple[KerasVariable, int], ...
    ]  # weights whose slices along this axis show how important a channel is
    kind: str = "channels"  # or heads


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of the graph: `axes` and `shape` both with the axis of rows, whose axes are always None."""

    axes: Axes
    shape: tuple[int | None, ...]


class Wiring:
    """How channels run through a model."""

    def __init__(self) -> None:
        self.channels = Channels()
        self.axes: dict[int, Axes] = {}  # id of a weight, or of an input of a model -> what runs along it
        self.sizes: dict[int, dict[str, Size]] = {}  # id of a layer -> what in its config counts channels
        self.producers: dict[tuple[int, str], Producer] = {}  # id of the layer, kind
        self.put_out: dict[str, list[Ids]] = {}  # name of a layer -> the ids of what it puts out

    def runs_along(self, thing: KerasVariable | KerasTensor, axes: Axes, name: str) -> None:
        """Say what runs along a weight or an input; what is used several times is tied here."""
        for before, now in zip(self.axes.setdefault(id(thing), axes), axes, strict=True):
            self.tie(before, now, f"'{name}' is called several times, also with channels that have to stay")

    def tie(self, one: Ids | None, other: Ids | None, why: str) -> None:
        """Channels that are met by others; where those have to stay, these have to."""
        if one is not None and other is not None and len(one) == len(other):
            self.channels.tie(one, other)
        else:
            self.channels.keep(one, why)
            self.channels.keep(other, why)


class Call:
    """One call of a layer or an operation. A rule says here what happens to channels, and returns the axes of each output."""

    def __init__(
        self, layer: KerasLayer, name: str, wiring: Wiring, arguments: dict[str, Any], inputs: Sequence[Tensor],
        out_shapes: Sequence[tuple[int | None, ...]],
    ) -> None:  # fmt: skip
        self.layer, self.name, self.wiring = layer, name, wiring
        self.arguments = arguments  # by name, as in `call`; its tensors are of the class Tensor
        self.inputs, self.out_shapes = inputs, out_shapes

    @property
    def x(self) -> Axes:
        """Axes of the first input."""
        return self.inputs[0].axes

    def new(self, count: int) -> Ids:
        return self.wiring.channels.new(count)

    def keep(self, ids: Ids | None, why: str) -> None:
        self.wiring.channels.keep(ids, why)

    def tie(self, one: Ids | None, other: Ids | None) -> None:
        self.wiring.tie(one, other, f"'{self.name}' joins its channels with some that have to stay")

    def weight(self, variable: KerasVariable | None, *axes: Ids | None) -> None:
        """Say what runs along the axes of a weight. None: the layer has no such weight."""
        if variable is not None:
            self.wiring.runs_along(variable, axes, self.name)

    def size(self, layer: KerasLayer | None = None, **sizes: Size) -> None:
        """Say which numbers in the config of this layer (or of one inside it) count channels."""
        known = self.wiring.sizes.setdefault(id(self.layer if layer is None else layer), {})
        for key, size in sizes.items():
            before = known.setdefault(key, size)
            if before is not size:
                self._tie_sizes(before, size)

    def _tie_sizes(self, before: Size, now: Size) -> None:
        one, other = (size if isinstance(size, tuple) else (size,) for size in (before, now))
        why = f"'{self.name}' is called several times, with different channels"
        for a, b in zip(one, other, strict=True):
            self.wiring.tie(None if isinstance(a, int) else a, None if isinstance(b, int) else b, why)

    def makes(self, ids: Ids, *kernels: tuple[KerasVariable, int], kind: str = "channels") -> None:
        """The layer makes these channels, and the slices of `kernels` along an axis show how important each is."""
        producer = Producer(self.layer, self.name, ids, kernels, kind)
        self.wiring.producers.setdefault((id(self.layer), kind), producer)

    def only(self, axes: Axes, *passing: int) -> Axes:
        """Axes where only the passing ones may lose channels: the layer works along the others as lengths."""
        stay = {axis % len(axes) for axis in passing}
        for axis, ids in enumerate(axes):
            if axis not in stay:
                self.keep(ids, f"'{self.name}' works along them")
        return tuple(ids if axis in stay else None for axis, ids in enumerate(axes))

    def fixed(self, why: str = "") -> list[Axes]:
        """Keep all that comes in; nothing that goes out can be removed."""
        for tensor in self.inputs:
            for ids in tensor.axes:
                self.keep(
                    ids, why or f"'{self.name}' ({type(self.layer).__name__}) uses them in a way that is not known"
                )
        return [(None,) * len(shape) for shape in self.out_shapes]
