"""The host itself, behind `local` and `virtual`: it runs the whole way, and says nothing about a board."""

from targets.boards import Board

BOARD = Board(
    title="this machine, not a board",
    model="",
    energy="no power meter is read on a host",
    source="targets/local.py and targets/virtual",
    tried_on_hardware=True,
)
