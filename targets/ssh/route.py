"""How to get to a board: the hosts on the way, the last of them the board, each with its login and its pinned keys."""

import os

import msgspec

from targets.inventory import Target
from targets.ssh.known_hosts import name_of
from targets.ssh.passwords import Secret


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One SSH server and the one way to log in there: `key`, `agent` or `password`."""

    host: str
    port: int
    user: str
    known_as: str  # its name in known_hosts
    known_hosts: tuple[str, ...]  # files; the first is where keys are pinned
    trust: str  # the command that pins its key
    key: str | None = None
    certificate: str | None = None  # for the key; where None, `<key>-cert.pub` if that is there, as ssh does
    passphrase: Secret | None = None
    agent: str | None = None  # its socket
    agent_key: str = ""  # SHA256:... of the one to use; "": it has one only
    password: Secret | None = None
    connect_timeout_s: float | None = None  # where the user's own configuration names one

    @property
    def address(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


def route(target: Target) -> tuple[Hop, ...]:
    """The hops to this target. AuthenticationRefused, UnknownTarget where its configuration leads nowhere."""
    if target.ssh:
        from targets.ssh.config import hops  # starts a process

        return hops(target.ssh, target.ssh_config, target.name)
    return (
        Hop(
            host=target.host, port=target.port, user=target.user, known_as=name_of(target.host, target.port),
            known_hosts=(target.known_hosts,), trust=trust_command(target.name),
            key=target.key,
            passphrase=_secret(f"Passphrase of {target.key}", target.passphrase, target.passphrase_env),
            agent=os.environ.get("SSH_AUTH_SOCK", "") if target.ssh_agent else None,
            agent_key=target.ssh_agent if isinstance(target.ssh_agent, str) else "",
            password=_secret(f"Password of {target.user}@{target.host}:{target.port}", target.password, target.password_env),
        ),
    )  # fmt: skip


def trust_command(name: str) -> str:
    return f"edgepress boards trust {name}"


def _secret(prompt: str, ask: str | None, variable: str | None) -> Secret | None:
    return Secret(prompt, variable) if ask or variable else None
