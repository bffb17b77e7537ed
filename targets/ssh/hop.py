"""One step on the way to a board."""

import msgspec

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
    certificate: str | None = None  # for the key; None: `<key>-cert.pub` if it exists, as in ssh
    passphrase: Secret | None = None
    agent: str | None = None  # its socket
    agent_key: str = ""  # SHA256:... of the one to use; "": the only one
    password: Secret | None = None
    connect_timeout_s: float | None = None  # if the user's own configuration names one

    @property
    def address(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


def trust_command(name: str) -> str:
    return f"edgepress boards trust {name}"
