"""boards.toml -> Target: a kind of board at an address. Those of ALWAYS need no entry.

[pi5]
host = "192.0.2.5"
user = "pi"
key = "~/.ssh/id_ed25519"
board = "raspberry_pi_5"          # one of targets/boards

[pi5.meters.ina226]               # a power meter that the board or this machine reads (docs/energy.md)
address = 0x40
shunt_ohm = 0.02

[orin]
ssh = "orin.lab"                  # a host of ~/.ssh/config; then nothing else about the way there is said here

[tiny]
virtual = { memory = "512 MiB", cpu = 0.5, rtt_ms = 20, rate_mbit = 10 }     # targets/virtual/shape.py
"""

import difflib
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from targets.boards import BOARDS
from targets.errors import UnknownTarget
from targets.virtual.shape import SHAPES, Shape, Table

INVENTORY = "boards.toml"
EMULATED = "virtual-aarch64"
ALWAYS = ("local", *SHAPES, EMULATED)
VIRTUAL_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # becomes the name of a folder
METHODS = ("key", "ssh_agent", "password", "password_env")
WAY = {"host", "user", "port", "known_hosts", "ssh", "ssh_config", "passphrase", "passphrase_env", *METHODS}
HOW = (
    "A board has host, user and one of key, ssh_agent, password, password_env; or ssh. Optional: port, passphrase, "
    "passphrase_env, known_hosts, ssh_config, python, root, board, meters. A virtual one has only `virtual`, and a name of letters, "
    "digits, - and _ (docs/virtual-boards.md)."
)


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a board is and how to get in. For those of ALWAYS most of it is unused."""

    host: str = ""
    user: str = ""
    port: Annotated[int, Meta(ge=1, le=65535)] = 22
    key: str | None = None
    passphrase: str | None = None  # of the key: "ask"
    passphrase_env: str | None = None  # the environment variable that holds it
    ssh_agent: bool | str = False  # true: its only key; "SHA256:...": that one
    password: str | None = None  # "ask"
    password_env: str | None = None
    ssh: str | None = None  # a host of the user's ssh_config, in place of all of the above and of known_hosts
    ssh_config: str | None = None  # that file, where it is not ~/.ssh/config; beside boards.toml
    python: str = "python3"
    root: str = "~/.edgepress"  # where edgepress keeps its files on the board
    board: str | None = None
    meters: dict[str, dict[str, int | float | str]] = {}  # name -> its settings
    known_hosts: str = "known_hosts"  # beside boards.toml
    name: str = ""
    kind: str = "ssh"
    virtual: Shape | None = None  # of a virtual board
    note: str = ""  # of a virtual board that runs: what holds it to its shape


def find(name: str, folder: Path) -> Target:
    """The target of that name; UnknownTarget says which there are. `folder` is the plan's."""
    if name == EMULATED:
        return Target(name=name, kind="emulated", host="127.0.0.1", user="", board="emulated_aarch64")
    if name in ALWAYS:
        return _on_this_machine(name, SHAPES.get(name))
    targets = read(folder)
    if name not in targets:
        known = ", ".join((*ALWAYS, *targets))
        near = difflib.get_close_matches(name, (*ALWAYS, *targets), n=1)
        raise UnknownTarget(
            f'there is no board called "{name}"; known are: {known}',
            hint=(f"Did you mean {near[0]}? " if near else "")
            + f"Add a table [{name}] with host, user and key to {inventory_path(folder)}.",
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
        if path.exists() and not path.is_file():  # a pipe would be waited for, and /dev/zero has no end
            raise OSError("it is no ordinary file")
        tables = tomllib.loads(path.read_text("utf-8-sig"))  # some editors begin with a byte order mark
    except FileNotFoundError:
        return {}
    except (
        OSError,
        ValueError,
        RecursionError,
    ) as error:  # ValueError: no TOML, no UTF-8, an integer of thousands of digits
        raise UnknownTarget(
            f"{path} can not be read: {str(error)[:300]}", hint="Correct the file, then run again."
        ) from error
    return {name: _target(name, table, path) for name, table in tables.items()}


def _target(name: str, table: Any, path: Path) -> Target:
    """A table of the inventory. UnknownTarget says what is wrong with it."""
    virtual = isinstance(table, dict) and "virtual" in table
    fault = _fault_of_name(name, virtual=virtual)
    try:
        if fault is None and virtual:
            return _on_this_machine(name, msgspec.convert(table, Table).virtual)
        target = msgspec.convert(table, Target)
    except msgspec.ValidationError as error:
        fault = fault or _refused(str(error), name)
    else:
        fault = fault or _fault(target, table)
    if fault:
        raise UnknownTarget(f"{path}: [{name}]: {fault[0]}", hint=fault[1])
    return msgspec.structs.replace(
        target, name=name, known_hosts=_beside(path, target.known_hosts),
        key=_beside(path, target.key) if target.key else None,
        ssh_config=_beside(path, target.ssh_config) if target.ssh_config else None,
    )  # fmt: skip


def _refused(message: str, name: str) -> tuple[str, str]:
    """What msgspec says of a table, in our words, and what to do."""
    if "$.meters" in message:
        meter = f"a table of its own with a number or a text for each setting: [{name}.meters.ina226], shunt_ohm = 0.02"
        return "`meters`: a meter's settings can not be read", f"Each meter has {meter}; docs/energy.md."
    return message.replace("Object contains unknown field", "unknown key"), HOW


def _fault_of_name(name: str, *, virtual: bool) -> tuple[str, str] | None:
    """What is wrong with a board's name, and what to do."""
    if name in ALWAYS:
        return f"{', '.join(ALWAYS)} are taken", "Give the board another name."
    if virtual and not VIRTUAL_NAME.fullmatch(name):
        return "the name of a virtual board has only letters, digits, - and _", "Give the board another name."
    if not name.isprintable() or name.split() != [name] or name.startswith("-"):
        return (
            "a name has no spaces and no control characters, and does not begin with -",
            "It is typed: `edgepress boards check NAME`.",
        )
    return None


def _fault(target: Target, table: dict[str, object]) -> tuple[str, str] | None:
    """What is wrong with how this board is to be reached, and what to do."""
    said = set(table)
    if inner := said & {"name", "kind", "note"}:  # of a Target, but edgepress sets them
        return f"there is no `{min(inner)}`", HOW
    if target.board and target.board not in BOARDS:
        return f"`board` must be one of {', '.join(BOARDS)}", "`edgepress boards facts KIND` says what each is."
    for key, value in table.items():
        if isinstance(value, str) and not value.isprintable():
            return f"`{key}` has control characters", "Correct the table, then run again."
    for secret in ("password", "passphrase"):
        if getattr(target, secret) not in {None, "ask"}:  # not decoded as such: the decoder's message would show it
            return (
                f'`{secret}` can only be "ask"',
                f"A secret does not belong into a file; or name a variable: {secret}_env.",
            )
    if target.ssh:
        beside = said & WAY - {"ssh", "ssh_config"}
        return ("`ssh` stands beside " + ", ".join(sorted(beside)), "With `ssh`, all of that comes from ssh_config.") if beside else None  # fmt: skip
    if not target.host or not target.user:
        return "`host` and `user` must be given (or `ssh`)", HOW
    if sum(bool(getattr(target, method)) for method in METHODS) != 1:
        return (
            f"exactly one of {', '.join(METHODS)} must be given (or `ssh`)",
            "Trying several locks this host out of newer sshd (PerSourcePenalties), so one is named.",
        )
    if (target.passphrase or target.passphrase_env) and not target.key:
        return "a passphrase is of a `key`, and none is given", HOW
    if target.passphrase and target.passphrase_env:
        return "one of passphrase and passphrase_env", HOW
    if target.ssh_config:
        return "`ssh_config` says where the host of `ssh` is described, and no `ssh` is given", HOW
    if isinstance(target.ssh_agent, str) and not target.ssh_agent.startswith("SHA256:"):
        return "`ssh_agent` is true or the SHA256:... of one of its keys", "ssh-add -l shows them."
    return None


def _beside(path: Path, file: str) -> str:
    """Not resolved: a key that is a link has its certificate beside the link."""
    return str((path.parent / os.path.expanduser(file)).absolute())  # noqa: PTH111 - Path's fails for ~nobody


def inventory_path(folder: Path) -> Path:
    """Beside the plan if it is there, else the user's own."""
    beside = folder / INVENTORY
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return beside if beside.exists() else config / "edgepress" / INVENTORY


def cache_folder() -> Path:
    """What this user's edgepress keeps between plans: wheels, and what `local` and `virtual` boards hold."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgepress"
