"""The machine behind `virtual-aarch64`: a real ARM system on an emulated processor, whose timings are of the emulator."""

from targets.boards import Board

BOARD = Board(
    title="an emulated ARM machine, not a board (edgepress boards start virtual-aarch64)",
    model="",
    energy="an emulated machine draws no power of its own",
    source="targets/virtual/emulated: QEMU's virt machine under the name of a board",
    tried_on_hardware=True,
)
