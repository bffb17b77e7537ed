"""From a hop to a logged-in connection: key exchange, host key check, one login attempt."""

import shlex
import socket
import threading
import time

import paramiko
from paramiko.ssh_exception import PartialAuthentication

from targets import diagnosis
from targets.errors import AuthenticationRefused, ConnectionLost, DroppedByServer, TargetError, Unreachable
from targets.ssh import known_hosts, passwords, tcp, watchdog
from targets.ssh.hop import Hop
from targets.ssh.identity import Credential, credential
from targets.ssh.known_hosts import HostKey
from targets.ssh.negotiation import key_exchange_error
from targets.ssh.packets import Packets

CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")  # fastest first
# Only around calls of paramiko: for a message that it cannot read it raises anything (ValueError, struct.error, IndexError,
# errors of cryptography ...), and the other side is at fault.
BROKE = Exception


def log_in(hop: Hop, before: paramiko.Transport | None, timeout_s: float, keepalive_s: float) -> paramiko.Transport:
    timeout_s = min(timeout_s, hop.connect_timeout_s or timeout_s)
    entries = known_hosts.read(hop.known_hosts)
    # Asking the user for a password takes long, and sshd limits the time (LoginGraceTime), so it is done before connecting.
    with credential(hop) as mine, tcp.startup_slot(hop.host, hop.port):
        transport = greet(hop, before, timeout_s, keepalive_s, known_hosts.kinds(entries, hop.known_as))
        try:
            files = ", ".join(hop.known_hosts[:1])
            known_hosts.check(entries, hop.known_as, shown(transport), files=files, trust=hop.trust)
            _authenticate(transport, hop, mine, timeout_s)
        except BaseException:
            transport.close()
            raise
    return transport


def greet(
    hop: Hop, before: paramiko.Transport | None, timeout_s: float, keepalive_s: float, kinds: set[str]
) -> paramiko.Transport:
    """Connect and exchange keys, requesting the host key types in `kinds` first. A dropped connection is tried again."""
    deadline = time.monotonic() + timeout_s
    for attempt in range(tcp.TRIES):
        try:
            sock = _socket(hop, before, timeout_s, watchdog.GIVE_UP_AFTER * keepalive_s)
            break
        except DroppedByServer:
            if attempt == tcp.TRIES - 1 or time.monotonic() > deadline:  # a router may delay us, then reset
                raise
        tcp.pause(attempt)
    begins = tcp.begins(sock)
    transport = paramiko.Transport(sock, packetizer_class=Packets)
    transport.banner_timeout = transport.handshake_timeout = timeout_s
    options = transport.get_security_options()
    options.ciphers = tuple(cipher for cipher in CIPHERS if cipher in options.ciphers)
    types = {"rsa-sha2-512": "ssh-rsa", "rsa-sha2-256": "ssh-rsa"}
    options.key_types = sorted(options.key_types, key=lambda each: types.get(each, each) not in kinds)
    done = threading.Event()
    try:
        transport.start_client(event=done)
        if not done.wait(timeout_s):
            raise _no_keys(hop.address, timeout_s, begins)
        if not transport.is_active():
            raise key_exchange_error(hop.address, transport, begins)
    except BaseException:
        transport.close()
        sock.close()
        raise
    return transport


def _no_keys(address: str, timeout_s: float, begins: bytes) -> ConnectionLost:
    if not begins or b"SSH-".startswith(begins[:4]):
        return tcp.silent(address, timeout_s, "agreeing on keys")
    words = diagnosis.last_words(begins) or repr(begins[:20])
    hint = "Something other than sshd listens there: check `port` in boards.toml."
    return tcp.silent(address, timeout_s, f"agreeing on keys; it began with {words}", hint)


def _socket(
    hop: Hop, before: paramiko.Transport | None, timeout_s: float, dead_s: float
) -> socket.socket | paramiko.Channel:
    if before is None:
        return tcp.connect(hop.host, hop.port, timeout_s=timeout_s, dead_s=dead_s)
    try:
        return before.open_channel("direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=timeout_s)
    except BROKE as error:
        if "Timeout opening" in str(error):
            raise tcp.silent(hop.address, timeout_s, "connecting from the jump host") from error
        raise Unreachable(
            f"{hop.address} cannot be reached from the jump host: {diagnosis.last_words(str(error)) or type(error).__name__}",
            hint="Is it up, and does sshd on the jump host allow TCP forwarding (AllowTcpForwarding)?",
        ) from error


def shown(transport: paramiko.Transport) -> HostKey:
    """Return the host key of the other side, which has proved in the key exchange that it has the private half."""
    try:
        key = transport.get_remote_server_key()
        return HostKey(key.get_name(), key.asbytes())
    except BROKE as error:
        raise ConnectionLost(
            "the server closed the connection right after the key exchange", hint="Run again; its log may say why."
        ) from error


def _authenticate(transport: paramiko.Transport, hop: Hop, credential: Credential, timeout_s: float) -> None:
    """Try once to log in."""
    done = threading.Event()
    try:
        if isinstance(credential.secret, str):
            transport.auth_password(hop.user, credential.secret, done, fallback=False)
        else:
            transport.auth_publickey(hop.user, credential.secret, done)
    except BROKE as problem:
        raise _broke_at_login(hop, problem, transport) from problem
    if not done.wait(timeout_s):
        raise tcp.silent(hop.address, timeout_s, "logging in")
    if transport.is_authenticated():
        return
    error = transport.get_exception()
    if not transport.is_active() and not isinstance(error, paramiko.AuthenticationException):
        raise _broke_at_login(hop, error, transport)
    if hop.password is not None:
        passwords.forget(hop.password)
    more = {
        paramiko.BadAuthenticationType: "it does not allow that way to log in",
        PartialAuthentication: "it also requires a second way to log in",
    }
    words = [more[type(error)]] if type(error) in more else []
    if banner := diagnosis.last_words(_banner(transport)):
        words.append(f"it said: {banner}")
    raise AuthenticationRefused(
        f"{hop.address} does not accept {credential.name}" + (f": {'; '.join(words)}" if words else ""),
        hint=diagnosis.hint(banner, diagnosis.START) or _what_to_check(hop, credential),
    )


def _what_to_check(hop: Hop, credential: Credential) -> str:
    if hop.password is not None:
        return "Check `user` and the password, and that sshd there allows passwords."
    key = f"ut the public key into ~{hop.user}/.ssh/authorized_keys there, or name another in boards.toml."
    if credential.certificate:
        return (
            f"Check whom the certificate admits and until when (ssh-keygen -Lf {shlex.quote(credential.certificate)}), and that sshd there "
            f"trusts its authority (TrustedUserCAKeys); or p{key}"
        )
    return f"P{key}"


def _banner(transport: paramiko.Transport) -> bytes:
    """Return the server's login banner."""
    told = transport.get_banner()
    return told if isinstance(told, bytes) else b""


def _broke_at_login(hop: Hop, error: Exception | None, transport: paramiko.Transport) -> TargetError:
    words = diagnosis.last_words(_banner(transport), str(error or ""))
    return ConnectionLost(
        f"{hop.address} closed the connection at the login" + (f": {words}" if words else ""),
        hint=diagnosis.hint(words, diagnosis.START)
        or "Its log says why (journalctl -u ssh); after failed logins sshd rejects a host for a while.",
    )
