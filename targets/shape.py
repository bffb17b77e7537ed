"""The shape of a virtual board: how small it is, and how far away. `virtual = { ... }` of a table in boards.toml."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

MEMORY = re.compile(r"([1-9][0-9]{0,5}) ?(MiB|GiB)")
MEMORY_LEAST_BYTES = 64 << 20  # an sshd, its session and a Python with numpy


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a board of this kind has. What of it this machine can hold is said when the board starts."""

    cores: Annotated[int, Meta(ge=1, le=64)] = 1
    memory: str = "1 GiB"  # "512 MiB", "2 GiB"
    cpu: Annotated[float, Meta(ge=0.05, le=64)] | None = None
    """CPU time, in whole CPUs: 0.5 is half a CPU. None: all of its cores, and timings that are not cut into pieces."""
    rtt_ms: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    rate_mbit: Annotated[float, Meta(ge=0.01, le=100_000)] | None = None

    def __post_init__(self) -> None:
        """ValueError where a value makes no sense; msgspec reports it with its place."""
        match = MEMORY.fullmatch(self.memory)
        if match is None or self.memory_bytes < MEMORY_LEAST_BYTES:
            raise ValueError(f'memory is a whole number of MiB or GiB, "512 MiB", 64 MiB or more; not "{self.memory}"')
        if self.cpu is not None and self.cpu > self.cores:
            raise ValueError(f"cpu = {self.cpu:g} is more than its cores = {self.cores}")

    @property
    def memory_bytes(self) -> int:
        number, unit = self.memory[:-3], self.memory[-3:]
        return int(number) << (20 if unit == "MiB" else 30)

    @property
    def has_link(self) -> bool:
        """Whether there is a link to imitate; without one nothing stands between edgepress and sshd."""
        return self.rtt_ms > 0 or self.rate_mbit is not None


# A quota stops a process for part of each 100 ms, so timings are made on a board without one (docs/virtual-boards.md).
SHAPES = {
    "virtual": Shape(),
    "virtual-small": Shape(memory="512 MiB", cpu=0.5, rtt_ms=20, rate_mbit=10),
}


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of boards.toml that describes a virtual board: neither host nor user nor key."""

    virtual: Shape
