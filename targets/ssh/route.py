"""The route to a board: the hosts on the way and the board itself, each with its login and its pinned keys."""

import os

from targets.inventory import Target
from targets.ssh.hop import Hop, trust_command
from targets.ssh.known_hosts import name_of
from targets.ssh.passwords import Secret


def route(target: Target) -> tuple[Hop, ...]:
    """Return the hops to this target. AuthenticationRefused, UnknownTarget for an unusable configuration."""
    if target.ssh:
        from targets.ssh.config import hops  # starts a process

        return hops(target.ssh, target.ssh_config, target.name)
    return (
        Hop(
            host=target.host,
            port=target.port,
            user=target.user,
            known_as=name_of(target.host, target.port),
            known_hosts=(target.known_hosts,),
            trust=trust_command(target.name),
            key=target.key,
            passphrase=_secret(f"Passphrase of {target.key}", target.passphrase, target.passphrase_env),
            agent=os.environ.get("SSH_AUTH_SOCK", "") if target.ssh_agent else None,
            agent_key=target.ssh_agent if isinstance(target.ssh_agent, str) else "",
            password=_secret(
                f"Password of {target.user}@{target.host}:{target.port}", target.password, target.password_env
            ),
        ),
    )


def _secret(prompt: str, ask: str | None, variable: str | None) -> Secret | None:
    return Secret(prompt, variable) if ask or variable else None
