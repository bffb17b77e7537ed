"""Why the SSH key exchange failed, by what the other side sent, and what to do."""

import paramiko

from targets import diagnosis
from targets.errors import TargetError, Unreachable
from targets.ssh.packets import Packets

SHOWN = 6  # names of a list in a message


def key_exchange_error(address: str, transport: paramiko.Transport, begins: bytes) -> TargetError:
    """Return the error for a failed key exchange. `begins`: the first bytes from the other side."""
    error, packets = transport.get_exception(), transport.packetizer
    assert isinstance(packets, Packets)
    mine = _mine(transport.get_security_options())
    for name, theirs in packets.offered:
        if not set(theirs) & set(mine[name]):
            return Unreachable(
                f"sshd at {address} and edgepress have no {name} in common: it has {_few(theirs)}",
                hint=f"Allow one of these there, as {name} in its sshd_config: {_few(mine[name])}.",
            )
    words = _words(error)
    version = diagnosis.last_words(transport.remote_version)
    if packets.offered:
        return Unreachable(
            f"no keys could be agreed on with {address}: {words}",
            hint="Its log says why (journalctl -u ssh on the board).",
        )
    if version.startswith("SSH-1."):
        return Unreachable(f"{address} speaks SSH 1 only: {version} ({words})", hint="Install a newer sshd there.")
    if version or begins.startswith(b"SSH-"):
        return Unreachable(
            f"{address} calls itself {version or diagnosis.last_words(begins)} and does not speak SSH as expected: {words}",
            hint="Its log may say why (journalctl -u ssh on the board).",
        )
    first = diagnosis.last_words(begins)
    return Unreachable(
        f"{address} does not speak SSH: {words}" + (f"; it began with {first}" if first else ""),
        hint="Something other than sshd listens there: check `port` in boards.toml.",
    )


def _words(error: Exception | None) -> str:
    words = diagnosis.last_words(str(error or ""))
    if error is None or isinstance(error, EOFError):
        return "it closed the connection"
    if isinstance(error, (paramiko.SSHException, OSError)):
        return words or type(error).__name__
    return f"what it sent cannot be read ({words or type(error).__name__})"


def _mine(options: paramiko.transport.SecurityOptions) -> dict[str, tuple[str, ...]]:
    return {
        "KexAlgorithms": tuple(options.kex),
        "HostKeyAlgorithms": tuple(options.key_types),
        "Ciphers": tuple(options.ciphers),
        "MACs": tuple(options.digests),
    }


def _few(names: tuple[str, ...]) -> str:
    real = [
        diagnosis.last_words(name)[:60] for name in names if name and not name.startswith(("ext-info-", "kex-strict-"))
    ]
    return ", ".join(real[:SHOWN]) + (f" and {len(real) - SHOWN} more" if len(real) > SHOWN else "") if real else "none"
