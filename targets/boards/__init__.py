"""Kinds of boards: one file and one line here for each."""

from importlib import import_module

import msgspec

BOARDS = {
    "this_machine": "targets.boards.this_machine",
    "emulated_aarch64": "targets.boards.emulated_aarch64",
    "raspberry_pi_3": "targets.boards.raspberry_pi_3",
    "raspberry_pi_4": "targets.boards.raspberry_pi_4",
    "raspberry_pi_5": "targets.boards.raspberry_pi_5",
    "raspberry_pi_zero_2_w": "targets.boards.raspberry_pi_zero_2_w",
    "jetson_nano": "targets.boards.jetson_nano",
    "jetson_xavier_nx": "targets.boards.jetson_xavier_nx",
    "jetson_orin_nano": "targets.boards.jetson_orin_nano",
    "jetson_agx_orin": "targets.boards.jetson_agx_orin",
    "generic_aarch64": "targets.boards.generic_aarch64",
    "generic_armv7l": "targets.boards.generic_armv7l",
    "generic_x86_64": "targets.boards.generic_x86_64",
}

UNSEEN = "general knowledge, not seen"
WHEELS = "the wheels on the package index, read 2026-11 (targets/provision.py)"
AGENT = "device_agent/board/conditions.py"
KERNEL_TREE = "the Linux kernel's device tree sources"


class Fact(msgspec.Struct, frozen=True):
    says: str
    source: str


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind of board is and what can be measured there, each fact with its source.

    `models`: prefixes of its device tree's model. `architecture`, only for a generic kind: the boards that it stands for if
    no model fits.
    """

    title: str
    models: tuple[str, ...] = ()
    architecture: str = ""
    processor: str = "arm"  # or uname -m of another
    identity: Fact
    soc: Fact
    cores: Fact
    memory: Fact
    runtimes: Fact
    temperature: Fact
    throttling: Fact
    clocks: Fact
    power: Fact  # the sensor and its rails, and whether edgepress reads it
    tried_on_hardware: bool = False

    def facts(self) -> dict[str, Fact]:
        """Return all facts by name, in the order of the fields."""
        return {name: value for name in self.__struct_fields__ if isinstance(value := getattr(self, name), Fact)}


# Facts shared by a family of boards.
BITS = Fact(
    "a 64-bit system: tflite_runtime, ai_edge_litert and onnxruntime, as its Python and glibc allow; a 32-bit one: "
    "only tflite_runtime, with the system's python3-numpy. The agent reports which it is",
    WHEELS,
)
PI_TEMPERATURE = Fact("thermal_zone0, cpu-thermal", "public samples of a Pi 4 and a Pi 5")
PI_THROTTLING = Fact(
    "vcgencmd get_throttled: under-voltage, frequency cap, throttling, soft limit; now and since boot", "public samples"
)
CLOCKS = Fact("cpufreq, of the slowest core, and its governor", AGENT)
JETSON_RUNTIMES = Fact("the CPU runtimes, as its Python and glibc allow: an old JetPack only has old wheels", WHEELS)
JETSON_TEMPERATURE = Fact(
    "the hottest thermal zone, without PMIC-Die (a constant) and the CV zones (reading them may hang)", AGENT
)
JETSON_THROTTLING = Fact("no flag that edgepress reads: clock and temperature show it", AGENT)


def board(kind: str) -> Board:
    found: Board = import_module(BOARDS[kind]).BOARD
    return found


def recognise(model: str) -> str | None:
    """Return the kind for this device tree model; None: edgepress does not know the board."""
    return next((kind for kind in BOARDS if any(model.startswith(begin) for begin in board(kind).models)), None)


def generic(architecture: str, bits: int) -> str | None:
    """Return the generic kind for an unknown board, by `uname -m` and the bits of its Python."""
    if bits == 32:  # a 64-bit kernel may run a 32-bit system
        architecture = {"aarch64": "armv7l"}.get(architecture, architecture)
    return next((kind for kind in BOARDS if architecture and board(kind).architecture == architecture), None)
