"""The shape of a virtual board: its size and its link. `virtual = { ... }` in a table of boards.toml."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

MEMORY = re.compile(r"([1-9][0-9]{0,5}) ?(MiB|GiB)")
MEMORY_LEAST_BYTES = 64 << 20  # for sshd, a session and a Python with numpy


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the board has. When it starts, it reports what this machine can enforce."""

    cores: Annotated[int, Meta(ge=1, le=64)] = 1
    memory: str = "1 GiB"  # "512 MiB", "2 GiB"
    cpu: Annotated[float, Meta(ge=0.05, le=64)] | None = None
    """CPU time in CPUs: 0.5 is half a CPU. None: no quota, which would interrupt timings."""
    rtt_ms: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    rate_mbit: Annotated[float, Meta(ge=0.01, le=100_000)] | None = None

    def __post_init__(self) -> None:
        """ValueError for an invalid value; msgspec adds its path."""
        match = MEMORY.fullmatch(self.memory)
        if match is None or self.memory_bytes < MEMORY_LEAST_BYTES:
            raise ValueError(
                f'memory must be a whole number of MiB or GiB, such as "512 MiB", and 64 MiB or more; not "{self.memory}"'
            )
        if self.cpu is not None and self.cpu > self.cores:
            raise ValueError(f"cpu = {self.cpu:g} is more than cores = {self.cores}")

    @property
    def memory_bytes(self) -> int:
        number, unit = self.memory[:-3], self.memory[-3:]
        return int(number) << (20 if unit == "MiB" else 30)

    @property
    def has_link(self) -> bool:
        """Whether there is a link to imitate; without one edgepress connects to sshd directly."""
        return self.rtt_ms > 0 or self.rate_mbit is not None


# A quota stops a process for part of each 100 ms, so use a board without one for timings (docs/virtual-boards.md).
SHAPES = {
    "virtual": Shape(),
    "virtual-small": Shape(memory="512 MiB", cpu=0.5, rtt_ms=20, rate_mbit=10),
}


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of boards.toml that describes a virtual board: neither host nor user nor key."""

    virtual: Shape
