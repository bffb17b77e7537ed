"""What is wrong with a board's table in boards.toml, and what to do: a pair of sentences each."""

import difflib
import ipaddress
import json
import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

Fault = tuple[str, str]

HOW = (
    "A board needs host, user and one of key, ssh_agent, password, password_env; or ssh. Optional: port, passphrase, "
    "passphrase_env, known_hosts, ssh_config, python, root, board, meters. A virtual one has only `virtual`, and a name of letters, "
    "digits, - and _ (docs/virtual-boards.md)."
)
PATHS_HERE, PATHS_THERE = ("key", "known_hosts", "ssh_config"), ("python", "root")
CSV = "meters.csv.path"  # also on this machine
HOST_PORT = re.compile(r"\[?([^\[\]]*)\]?:([0-9]{1,5})")
HOME = re.compile(r"~[A-Za-z0-9._-]*(/|\Z)")
# By msgspec's names.
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
}
LONGEST_LABEL = 63  # between two dots of a name (RFC 1035)
LONGEST = 4000  # of a text: PATH_MAX


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest the name that was probably meant, ignoring case; "" if none is similar."""
    by_lower = {each.lower(): each for each in known}
    # cut, because the time grows with the square of the length
    near = difflib.get_close_matches(name.lower()[:100], by_lower, 1)
    return f'; did you mean "{by_lower[near[0]]}"?' if near else ""


def several(names: Iterable[str], most: int = 30) -> str:
    """Return a readable list of at most `most` names."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")


def key(name: str) -> str:
    """Write a key as in TOML: quoted unless it is a bare key."""
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else json.dumps(name[:80], ensure_ascii=False)


def unreadable(text: str, error: Exception) -> str:
    """Return what tomllib could not read in a text."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if long := re.search("[0-9_]{4301}", text):  # sys.get_int_max_str_digits()
        return f"a number has too many digits (at line {text.count(chr(10), 0, long.start()) + 1})"
    return str(error)[:400]


def texts(table: Mapping[str, object]) -> Fault | None:
    """Return what is wrong with any text in a table."""
    for key, value in table.items():
        if not isinstance(value, str):
            continue
        if not value.isprintable():
            return f"`{key}` has control characters", "Correct the table, then run again."
        if len(value) > LONGEST:
            return f"`{key}` has {len(value)} characters", f"At most {LONGEST} are allowed."
    return None


def paths(table: Mapping[str, object]) -> Fault | None:
    """Check all paths by one rule: a leading ~ is a home folder, here or on the board, and nothing else is expanded."""
    of_meters = table.get("meters")
    csv = of_meters.get("csv") if isinstance(of_meters, dict) else None
    values = {**table, CSV: csv.get("path") if isinstance(csv, dict) else None}
    for key in (*PATHS_HERE, CSV, *PATHS_THERE):
        value = values.get(key)
        if not isinstance(value, str):
            continue
        where = "the board" if key in PATHS_THERE else "this machine"
        if not value.strip():
            return f"`{key}` is empty", "Name a path, or leave it out."
        if "$" in value:
            return (
                f'`{key}` is "{value}", but $ is not expanded',
                f"Write the path out; a leading ~ is the home folder of {where}.",
            )
        if value.startswith("~") and not HOME.match(value):
            return f'`{key}` is "{value}", which is not a home folder', "A path may begin with ~/ or ~user/."
        if key not in PATHS_THERE and value.startswith("~") and os.path.expanduser(value) == value:  # noqa: PTH111
            return f'`{key}` is "{value}", but this machine has no such home folder', "Write the path out."
    root = table.get("root")
    if isinstance(root, str) and (
        posixpath.normpath(root) in {".", "..", "/", "//"} or re.fullmatch(r"~[^/]*/*\.?/*", root)
    ):
        return (
            f'`root` is "{root}", which also holds other files',
            "Name a folder that only edgepress uses, such as ~/.edgepress.",
        )
    python = table.get("python")
    if isinstance(python, str) and (
        re.search(r"\s-", python) or re.search(r"\s", python.partition("/")[0])
    ):  # sudo python3
        return (
            f'`python` is "{python}"',
            "It must be the path of the program alone, without options and without another command before it.",
        )
    return None


def host(host: str, user: str) -> Fault | None:
    """Check `host` and `user`, and suggest the right key for what belongs elsewhere."""
    if user != user.strip() or not user or user.startswith("-") or any(each.isspace() for each in user):
        return f'`user` is "{user[:80]}"', "It must be the login name there, without spaces."
    if user.startswith("$"):
        return f'`user` is "{user[:80]}", but $ is not expanded', "Write the name out."
    who, at, rest = host.rpartition("@")
    if "://" in host:
        return f'`host` is "{host}"', "It must be a name or an address alone: no ssh:// before it, no path after it."
    if at:
        return f'`host` is "{host}"', f'The user has its own key: user = "{who}", host = "{rest}".'
    if is_address(host):
        return None
    if match := HOST_PORT.fullmatch(host):
        return f'`host` is "{host}"', f'The port has its own key: host = "{match[1]}", port = {match[2]}.'
    if is_address(host.strip("[]")):
        return f'`host` is "{host}"', f'An IPv6 address is written without brackets: host = "{host.strip("[]")}".'
    if host.startswith("-") or len(host) > 253 or not all(each.isalnum() or each in "._-" for each in host):
        return f'`host` is "{host[:80]}"', "It must be a name such as pi5.local, or an address such as 192.0.2.5."
    if not all(0 < len(part) <= LONGEST_LABEL for part in host.removesuffix(".").split(".")):
        return f'`host` is "{host[:80]}"', f"A name has 1 to {LONGEST_LABEL} characters between two dots."
    return None


def alias(ssh: str) -> Fault | None:
    """Check `ssh`: a host of ssh_config."""
    if "@" in ssh or ssh.split() != [ssh] or "://" in ssh:
        return (
            f'`ssh` is "{ssh[:80]}"',
            "It must be the name of one host of ssh_config, which has its User and Port; without such a host, use host and user.",
        )
    return None


def is_address(host: str) -> bool:
    """Whether it is an IPv4 or IPv6 address, possibly with a zone."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def refused(message: str, name: str, known: Iterable[str]) -> Fault:
    """Translate msgspec's message about a table."""
    if "$.meters" in message:
        meter = f"its own table with a number or a text for each setting: [{name}.meters.ina226], shunt_ohm = 0.02"
        return "`meters`: a meter's settings cannot be read", f"Each meter has {meter}; docs/energy.md."
    if match := re.match(r"Object contains unknown field `(.*?)`( - at .*)?\Z", message, re.DOTALL):
        return f"unknown key `{match[1][:80]}`{nearest(match[1], known)}", HOW
    what, _, at = message.partition(" - at `$")
    key = at.strip(".`")
    what = re.sub(
        "`([a-z| ]+)`",
        lambda match: " or ".join(KINDS.get(kind, kind) for kind in match[1].split(" | ") if kind != "null"),
        what,
    )
    if key == "port":
        return (
            f"`port`: {what[:1].lower() + what[1:]}",
            "It must be a number from 1 to 65535, not in quotes: port = 22.",
        )
    return (f"`{key}`: {what[:1].lower() + what[1:]}" if key else what), HOW


def beside(path: Path, file: str) -> str:
    """Return a local path, relative to the folder of `path`. Links are not resolved: a linked key has its certificate next to the link."""
    return str((path.parent / os.path.expanduser(file)).absolute())  # noqa: PTH111 - Path's fails for ~nobody
