"""boards.toml -> Target: a kind of board at an address. `local`, `virtual` and `virtual-small` always exist.

[pi5]
host = "192.0.2.5"
user = "pi"
key = "~/.ssh/id_ed25519"         # or: ssh_agent = true
board = "raspberry_pi_5"          # one of targets/boards

[tiny]
virtual = { memory = "512 MiB", cpu = 0.5, rtt_ms = 20, rate_mbit = 10 }     # targets/virtual/shape.py
"""

import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from targets.boards import BOARDS
from targets.errors import UnknownTarget
from targets.virtual.shape import SHAPES, Shape, Table

INVENTORY = "boards.toml"
ALWAYS = ("local", *SHAPES)
VIRTUAL_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # becomes the name of a folder


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a board is and how to get in. For `local` and `virtual` most of it is unused."""

    host: str
    user: str
    port: Annotated[int, Meta(ge=1, le=65535)] = 22
    key: str | None = None
    ssh_agent: bool = False
    python: str = "python3"
    root: str = "~/.edgepress"  # where edgepress keeps its files on the board
    board: str | None = None
    known_hosts: str = "known_hosts"  # beside boards.toml
    name: str = ""
    kind: str = "ssh"
    virtual: Shape | None = None  # of a virtual board
    note: str = ""  # of a virtual board that runs: what holds it to its shape


def find(name: str, folder: Path) -> Target:
    """The target of that name; UnknownTarget says which there are. `folder` is the plan's."""
    if name in ALWAYS:
        return _on_this_machine(name, SHAPES.get(name))
    targets = read(folder)
    if name not in targets:
        known = ", ".join((*ALWAYS, *targets))
        raise UnknownTarget(
            f'there is no board called "{name}"; known are: {known}',
            hint=f"Add a table [{name}] with host, user and key to {inventory_path(folder)}.",
        )
    return targets[name]


def _on_this_machine(name: str, shape: Shape | None) -> Target:
    # The interpreter that edgepress runs on, outside its virtual environment: a board brings no packages either.
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return Target(
        name=name, kind="virtual" if shape else "local", host="127.0.0.1", user="", python=str(base) if base.exists() else sys.executable,
        root=str(cache_folder() / f"{name}-board"), board="this_machine", virtual=shape,
    )  # fmt: skip


def read(folder: Path) -> dict[str, Target]:
    """All boards of the inventory; empty where there is none. UnknownTarget where it can not be read."""
    path = inventory_path(folder)
    try:
        tables = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnknownTarget(f"{path} can not be read: {error}", hint="Correct the file, then run again.") from error
    targets = {}
    for name, table in tables.items():
        try:
            if isinstance(table, dict) and "virtual" in table and VIRTUAL_NAME.fullmatch(name) and name not in ALWAYS:
                targets[name] = _on_this_machine(name, msgspec.convert(table, Table).virtual)
                continue
            target = msgspec.convert(table, Target)
        except msgspec.ValidationError as error:
            raise UnknownTarget(
                f"{path}: [{name}]: {error}",
                hint="A board has host, user, and key or ssh_agent; optional: port, python, root, board, known_hosts. "
                "A virtual one has only `virtual`, and a name of letters, digits, - and _ (docs/virtual-boards.md).",
            ) from error
        if (
            name in ALWAYS
            or target.name
            or target.note
            or target.kind != "ssh"
            or (target.board and target.board not in BOARDS)
        ):
            raise UnknownTarget(
                f"{path}: [{name}]: {', '.join(ALWAYS)} are taken, and `board` must be one of {', '.join(BOARDS)}",
                hint="Correct the table, then run again.",
            )
        if bool(target.key) == target.ssh_agent:
            raise UnknownTarget(
                f"{path}: [{name}]: exactly one of `key` and `ssh_agent = true` must be given",
                hint="Trying several keys locks this host out of newer sshd (PerSourcePenalties), so one is named.",
            )
        known_hosts = str((path.parent / Path(target.known_hosts).expanduser()).resolve())
        targets[name] = msgspec.structs.replace(target, name=name, known_hosts=known_hosts)
    return targets


def inventory_path(folder: Path) -> Path:
    """Beside the plan if it is there, else the user's own."""
    beside = folder / INVENTORY
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return beside if beside.exists() else config / "edgepress" / INVENTORY


def cache_folder() -> Path:
    """What this user's edgepress keeps between plans: wheels, and what `local` and `virtual` boards hold."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgepress"
