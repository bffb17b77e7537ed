"""A board that is named in the user's ssh_config: `ssh -G` reports what ssh would do.

paramiko's own reader of that file ignores Include and has no ProxyJump. ssh knows its format; and where the user wrote a
`Match exec`, it is the user's own ssh that runs it, as with every `ssh <host>`.
"""

import os
import pwd
import re
import subprocess
from pathlib import Path
from typing import NoReturn

from targets.diagnosis import last_words, quoted
from targets.errors import AuthenticationRefused, UnknownTarget
from targets.ssh.hop import Hop, trust_command
from targets.ssh.known_hosts import name_of

TIMEOUT_S = 20.0  # a Match exec may be slow
MOST_HOPS = 8
# Conservative on purpose: the characters of names, addresses (with a zone) and users; no leading dash.
HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9._:%-]{0,254}")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\$-]{0,254}")
# What ssh tries without an IdentityFile (ssh_config(5)); `ssh -G` lists them all, existing or not.
DEFAULT_KEY = re.compile("id_(?:rsa|dsa|ecdsa|ecdsa_sk|ed25519|ed25519_sk|xmss)")
JUMP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d+))?/?")


def hops(alias: str, config: str | None, name: str) -> tuple[Hop, ...]:
    """Return the hops to `alias`, jump hosts first.

    `config`: a file in place of ~/.ssh/config. `name`: of the board in boards.toml. Raises UnknownTarget (ssh knows no route,
    or one that edgepress cannot use) and AuthenticationRefused (not exactly one key).
    """
    return _hops(alias, config, name, ())


def _hops(alias: str, config: str | None, name: str, options: tuple[str, ...], depth: int = 0) -> tuple[Hop, ...]:
    said = _Answer(alias, config, options)
    if said.one("proxycommand") not in {"", "none"}:
        said.refuse("it uses a ProxyCommand, which edgepress does not run", "Use ProxyJump for that host instead.")
    if depth > MOST_HOPS:
        said.refuse(f"there are more than {MOST_HOPS} hosts on the way", "Does a ProxyJump lead back to itself?")
    before: tuple[Hop, ...] = ()
    jumps = said.one("proxyjump")
    for index, jump in enumerate(() if jumps in {"", "none"} else jumps.split(",")):
        host, jump_options = _jump(said, jump)
        # As in ssh: only the first of a chain may have its own ProxyJump; the others are reached through it.
        own = () if index == 0 else ("-o", "ProxyJump=none")
        before += _hops(host, config, name, (*jump_options, *own), depth + 1)
    return (*before, _hop(said, name))


def _jump(said: "_Answer", jump: str) -> tuple[str, tuple[str, ...]]:
    match = JUMP.fullmatch(jump)
    if match is None:
        said.refuse(f"its ProxyJump cannot be understood: {jump[:80]}", "It must be written as [user@]host[:port].")
    options: tuple[str, ...] = ()
    if match["user"]:
        options += ("-l", said.checked(USER, match["user"], "user"))
    if match["port"]:
        options += ("-p", match["port"])
    return said.checked(HOST, match["v6"] or match["host"], "host"), options


def _hop(said: "_Answer", name: str) -> Hop:
    host, user = said.checked(HOST, said.one("hostname"), "hostname"), said.checked(USER, said.one("user"), "user")
    port = said.number("port")
    alias = said.one("hostkeyalias")
    files = [*said.one("userknownhostsfile").split(), *said.one("globalknownhostsfile").split()]
    agent = _agent(said)
    named = said.paths("identityfile", host, user)
    keys = [path for path in named if Path(path).exists() or (agent and Path(path + ".pub").exists())]
    missing = [path for path in named if path not in keys and not DEFAULT_KEY.fullmatch(Path(path).name)]
    if missing and not keys and not agent:
        raise AuthenticationRefused(
            f"ssh_config names the IdentityFile {', '.join(missing)} for {said.alias}, which does not exist",
            hint=f"Correct IdentityFile for {said.alias} in ssh_config, or put the key there.",
        )
    if len(keys) > 1 or (not keys and not agent):
        raise AuthenticationRefused(
            f"ssh has {len(keys)} keys for {said.alias} ({', '.join(keys) or 'and there is no ssh-agent'}); "
            "edgepress tries exactly one",
            hint=f"Name it as IdentityFile for {said.alias} in ssh_config. Trying several would lock this host out of newer sshd "
            "(PerSourcePenalties).",
        )
    certificates = said.paths("certificatefile", host, user)
    timeout = said.one("connecttimeout")
    return Hop(
        host=host,
        port=port,
        user=user,
        trust=trust_command(name),
        known_as=alias.lower() if alias not in {"", "none"} else name_of(host, port),
        known_hosts=tuple(said.path(file) for file in files if file != "none"),
        key=keys[0] if keys else None,
        agent=agent,
        certificate=certificates[0] if certificates else None,
        connect_timeout_s=float(said.number("connecttimeout")) if timeout not in {"", "none", "0"} else None,
    )


def _agent(said: "_Answer") -> str | None:
    where = said.one("identityagent")
    if where == "none":
        return None
    if where.startswith("$"):
        return os.environ.get(where[1:].strip("{}"))
    return os.environ.get("SSH_AUTH_SOCK") if where in {"", "SSH_AUTH_SOCK"} else said.path(where)


class _Answer:
    """The output of `ssh -G` about a host: option -> values."""

    def __init__(self, alias: str, config: str | None, options: tuple[str, ...]) -> None:
        self.alias = alias
        self.checked(HOST, alias, "ssh")
        if config is not None and not Path(config).is_file():  # ssh ignores a folder without a message
            self.refuse(
                f"there is no file {config}" if not Path(config).exists() else f"{config} is not a file",
                "Correct `ssh_config` in boards.toml: it names a file in the format of ~/.ssh/config.",
            )
        command = ["ssh", "-G", *(("-F", config) if config else ()), *options, "--", alias]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
            )
        except FileNotFoundError:
            self.refuse("there is no ssh on this machine", "Install it: apt-get install openssh-client")
        except subprocess.TimeoutExpired:
            self.refuse(f"`ssh -G` has not answered for {TIMEOUT_S:.0f} s", "Does a `Match exec` in ssh_config hang?")
        if done.returncode:
            words = last_words(done.stderr)
            self.refuse(
                f"`ssh -G` failed{quoted(words)}",
                "ssh needs an entry for the user in /etc/passwd; host, user and key in boards.toml do not."
                if "No user exists" in words
                else f"Try `ssh {alias}`, and correct ssh_config.",
            )
        self._values: dict[str, list[str]] = {}
        for line in done.stdout.splitlines():
            option, _, value = line.partition(" ")
            self._values.setdefault(option, []).append(value)

    def one(self, option: str) -> str:
        return self._values.get(option, [""])[0]

    def number(self, option: str) -> int:
        value = self.one(option)
        if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
            self.refuse(f"its {option} is not usable: {value[:80]!r}", "Correct ssh_config.")
        return int(value)

    def paths(self, option: str, host: str, user: str) -> list[str]:
        tokens = {
            "%%": "%",
            "%d": _home(),
            "%h": host,
            "%r": user,
            "%u": _user(),
            "%n": self.alias,
        }
        found = []
        for value in self._values.get(option, []):
            if value == "none":
                continue
            expanded = re.sub("%.", lambda match: tokens.get(match[0], match[0]), value)
            if unknown := re.search(r"%[A-Za-z]|\$\{", expanded):
                self.refuse(f"its {option} has {unknown[0]}, which edgepress does not expand", "Write the path out.")
            found.append(self.path(expanded))
        return found

    def path(self, value: str) -> str:
        path = _home() + value[1:] if value == "~" or value.startswith("~/") else os.path.expanduser(value)  # noqa: PTH111
        if not path.startswith("/"):
            self.refuse(f"a path in its configuration is not absolute: {value[:80]!r}", "Write it out, without spaces.")
        return path

    def checked(self, form: re.Pattern[str], value: str, what: str) -> str:
        if form.fullmatch(value) is None:
            self.refuse(f"its {what} is not usable: {value[:80]!r}", "Correct boards.toml or ssh_config.")
        return value

    def refuse(self, why: str, hint: str) -> NoReturn:
        raise UnknownTarget(f"ssh_config, host {self.alias[:80]}: {why}", hint=hint)


def _home() -> str:
    """Return the home folder in the password database, as ssh does; $HOME only for a user who is not in it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return os.environ.get("HOME", "/")


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container whose user has no name
        return str(os.getuid())
