"""boards.toml -> Target: a kind of board at an address. The boards in ALWAYS need no entry.

[pi5]
host = "192.0.2.5"
user = "pi"
key = "~/.ssh/id_ed25519"
board = "raspberry_pi_5"          # one of targets/boards

[pi5.meters.ina226]               # a power meter that the board or this machine reads (docs/energy.md)
address = 0x40
shunt_ohm = 0.02

[orin]
ssh = "orin.lab"                  # a host of ~/.ssh/config; then of the keys about the connection only ssh_config

[tiny]
virtual = { memory = "512 MiB", cpu = 0.5, rtt_ms = 20, rate_mbit = 10 }     # targets/shape.py
"""

import re
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from targets import toml_table
from targets.boards import BOARDS
from targets.errors import UnknownTarget
from targets.folders import cache_folder, config_folder
from targets.host import small_file
from targets.shape import SHAPES, Shape, Table
from targets.toml_table import HOW

INVENTORY = "boards.toml"
EMULATED = "virtual-aarch64"
ALWAYS = ("local", *SHAPES, EMULATED)
VIRTUAL_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # becomes the name of a folder
METHODS = ("key", "ssh_agent", "password", "password_env")
WAY = {"host", "user", "port", "known_hosts", "ssh", "ssh_config", "passphrase", "passphrase_env", *METHODS}
LIMIT_BYTES = 1 << 20
MOST_METERS = 32  # together with its own, a board reports at most 64 (ranges.py)


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a board is and how to log in. Mostly unused for the boards in ALWAYS."""

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
    ssh_config: str | None = None  # that file, if not ~/.ssh/config; relative to boards.toml
    python: str = "python3"
    root: str = "~/.edgepress"  # where edgepress keeps its files on the board
    board: str | None = None
    meters: dict[str, dict[str, int | float | str]] = {}  # name -> its settings
    known_hosts: str = "known_hosts"  # relative to boards.toml
    name: str = ""
    kind: str = "ssh"
    virtual: Shape | None = None  # of a virtual board
    note: str = ""  # of a running virtual board: what enforces its shape


INNER = {"name", "kind", "note"}  # fields of Target that edgepress sets itself
KEYS = tuple(name for name in Target.__struct_fields__ if name not in INNER)


def find(name: str, folder: Path) -> Target:
    """Return the target of that name; UnknownTarget lists the known ones. `folder` is the plan's."""
    if name == EMULATED:
        return Target(name=name, kind="emulated", host="127.0.0.1", user="", board="emulated_aarch64")
    if name in ALWAYS:
        return _on_this_machine(name, SHAPES.get(name))
    targets = read(folder)
    if name not in targets:
        known = (*ALWAYS, *targets)
        raise UnknownTarget(
            f'there is no board called "{name[:80]}"{toml_table.nearest(name, known)}; the known boards are: {toml_table.several(known)}',
            hint=f"Add a table [{toml_table.key(name)}] with host, user and key to {inventory_path(folder)}.",
        )
    return targets[name]


def _on_this_machine(name: str, shape: Shape | None) -> Target:
    # edgepress's interpreter, outside its virtual environment: a board has no packages either.
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return Target(
        name=name,
        kind="virtual" if shape else "local",
        host="127.0.0.1",
        user="",
        python=str(base) if base.exists() else sys.executable,
        root=str(cache_folder() / f"{name}-board"),
        board="this_machine",
        virtual=shape,
    )


def read(folder: Path) -> dict[str, Target]:
    """Return all boards of the inventory; empty if there is none. UnknownTarget if it cannot be read."""
    path = inventory_path(folder)
    try:
        text = small_file(path, LIMIT_BYTES).decode("utf-8-sig")  # some editors write a byte order mark
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UnknownTarget(
            f"{path} cannot be read: {error.strerror}", hint="Make it a readable file, then run again."
        ) from error
    except UnicodeDecodeError as error:
        raise UnknownTarget(
            f"{path} cannot be read: it is not UTF-8 (byte {error.start + 1})",
            hint="Save it as UTF-8, then run again.",
        ) from error
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError, OverflowError) as error:  # of what tomllib cannot read or hold
        raise UnknownTarget(
            f"{path} cannot be read: {toml_table.unreadable(text, error)}", hint="Correct the file, then run again."
        ) from error
    return {name: _target(name, each, path) for name, each in tables.items()}


def _target(name: str, said: Any, path: Path) -> Target:
    """Return the target in a table of the inventory. UnknownTarget says what is wrong with it."""
    if not isinstance(said, dict):
        raise UnknownTarget(
            f"{path}: `{name[:80]}` is a list, not a table"
            if isinstance(said, list)
            else f"{path}: `{name[:80]}` is not in a board's table",
            hint="Each board has its own table: a line [pi5], not [[pi5]], followed by host, user and key.",
        )
    virtual = "virtual" in said
    fault = _fault_of_name(name, virtual=virtual)
    try:
        if fault is None and virtual:
            return _on_this_machine(name, msgspec.convert(said, Table).virtual)
        target = msgspec.convert(said, Target)
    except (msgspec.ValidationError, OverflowError, RecursionError) as error:
        fault = fault or toml_table.refused(str(error), name, Shape.__struct_fields__ if virtual else KEYS)
    else:
        fault = fault or _fault(target, said)
    if fault:
        raise UnknownTarget(f"{path}: [{name}]: {fault[0]}", hint=fault[1])
    return msgspec.structs.replace(
        target,
        name=name,
        known_hosts=toml_table.beside(path, target.known_hosts),
        key=toml_table.beside(path, target.key) if target.key else None,
        ssh_config=toml_table.beside(path, target.ssh_config) if target.ssh_config else None,
        meters=_meters(target, path),
    )


def _meters(target: Target, path: Path) -> dict[str, dict[str, int | float | str]]:
    """Resolve the file of an instrument relative to boards.toml, like all local paths in it."""
    csv = target.meters.get("csv", {})
    if not isinstance(csv.get("path"), str):
        return target.meters
    return {**target.meters, "csv": {**csv, "path": toml_table.beside(path, str(csv["path"]))}}


def _fault_of_name(name: str, *, virtual: bool) -> toml_table.Fault | None:
    """Return what is wrong with a board's name, and what to do."""
    if name in ALWAYS:
        return f"{', '.join(ALWAYS)} are reserved names", "Give the board another name."
    if virtual and not VIRTUAL_NAME.fullmatch(name):
        return "the name of a virtual board has only letters, digits, - and _", "Give the board another name."
    if not name.isprintable() or name.split() != [name] or name.startswith("-"):
        return (
            "a name has no spaces and no control characters, and does not begin with -",
            "It is typed: `edgepress boards check NAME`.",
        )
    return None


def _fault(target: Target, values: dict[str, object]) -> toml_table.Fault | None:
    """Return what is wrong with how this board is to be reached, and what to do."""
    said = set(values)
    if inner := said & INNER:
        return f"there is no key `{min(inner)}`", HOW
    if target.board and target.board not in BOARDS:
        return (
            f"`board` must be one of {', '.join(BOARDS)}{toml_table.nearest(target.board, BOARDS)}",
            "`edgepress boards facts KIND` describes each.",
        )
    if fault := toml_table.texts(values) or toml_table.paths(values):
        return fault
    if len(target.meters) > MOST_METERS:
        return f"`meters` has {len(target.meters)} meters", f"At most {MOST_METERS} are allowed."
    for secret in ("password", "passphrase"):
        if getattr(target, secret) not in {None, "ask"}:  # checked here, since the decoder's message would show it
            return (
                f'`{secret}` can only be "ask"',
                f"A secret does not belong in a file. Or name an environment variable: {secret}_env.",
            )
    if target.ssh:
        beside = said & WAY - {"ssh", "ssh_config"}
        if beside:
            return "`ssh` excludes " + ", ".join(sorted(beside)), "With `ssh`, all of that comes from ssh_config."
        return toml_table.alias(target.ssh)
    if target.host and (fault := toml_table.host(target.host, target.user or "pi")):
        return fault
    if not target.host or not target.user:
        return "`host` and `user` must be given (or `ssh`)", HOW
    if sum(bool(getattr(target, method)) for method in METHODS) != 1:
        return (
            f"exactly one of {', '.join(METHODS)} must be given (or `ssh`)",
            "Trying several would lock this host out of newer sshd (PerSourcePenalties), so name one.",
        )
    if (target.passphrase or target.passphrase_env) and not target.key:
        return "a passphrase needs a `key`, and none is given", HOW
    if target.passphrase and target.passphrase_env:
        return "only one of passphrase and passphrase_env may be given", HOW
    if target.ssh_config:
        return "`ssh_config` names the file that describes the host of `ssh`, and no `ssh` is given", HOW
    if isinstance(target.ssh_agent, str) and not target.ssh_agent.startswith("SHA256:"):
        return "`ssh_agent` must be true or the SHA256:... of one of its keys", "`ssh-add -l` shows them."
    return None


def inventory_path(folder: Path) -> Path:
    """Return the boards.toml in the plan's folder if it exists, else the user's own."""
    beside, config = folder / INVENTORY, config_folder()
    return beside if config is None or beside.exists() else config / INVENTORY
