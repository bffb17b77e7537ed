"""Kinds of boards: one file a kind, one line here."""

from importlib import import_module

import msgspec

BOARDS = {
    "this_machine": "targets.boards.this_machine",
    "emulated_aarch64": "targets.boards.emulated_aarch64",
    "raspberry_pi_4": "targets.boards.raspberry_pi_4",
    "raspberry_pi_5": "targets.boards.raspberry_pi_5",
    "jetson_orin_nano": "targets.boards.jetson_orin_nano",
}


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind of board is. `model` is how its device tree's model begins; "" fits any."""

    title: str
    model: str
    energy: str  # what can measure energy there, and whether edgepress reads it
    source: str
    tried_on_hardware: bool = False


def board(kind: str) -> Board:
    found: Board = import_module(BOARDS[kind]).BOARD
    return found


def recognise(model: str) -> str | None:
    """The kind whose device tree model begins like `model`; None: a board that edgepress does not know."""
    return next((kind for kind in BOARDS if (begin := board(kind).model) and model.startswith(begin)), None)
