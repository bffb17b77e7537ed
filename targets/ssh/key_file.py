"""A private key from a file. A file that is not a usable key is identified before any connection is made."""

import base64
import functools
import logging
import re
import shlex
import struct
from pathlib import Path

import paramiko

from targets import diagnosis
from targets.errors import AuthenticationRefused
from targets.host import small_file
from targets.ssh import passwords
from targets.ssh.passwords import Secret

LIMIT_BYTES = 1 << 16  # an RSA key of 16384 bits has 13 kB
CERTIFICATE = re.compile(rb"[a-z0-9@.-]{1,60}-cert-v01@openssh\.com")
KIND = re.compile(rb"[a-z0-9@.-]{1,60}")
SEAL = re.compile(rb"AES-(?:128|192|256)-CBC,[0-9A-Fa-f]{32}|DES(?:-EDE3)?-CBC,[0-9A-Fa-f]{16}")
USABLE = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
PANIC = "PanicException"  # a failed assertion in cryptography's Rust code: not an Exception, and not importable
# Those that paramiko supports.
CIPHERS = ("none", *(f"aes{bits}-{mode}" for bits in (128, 192, 256) for mode in ("ctr", "cbc")))
MOST_ROUNDS = 5000  # of bcrypt, some 10 ms each; ssh-keygen makes 24
BY_AGENT = "Load it into the ssh-agent (ssh-add {path}) and set `ssh_agent = true` in place of `key`: the agent uses the token."
NEW = "Create another (ssh-keygen -t ed25519), and put its public half into ~/.ssh/authorized_keys there."
PRIVATE = "`key` must name the file of the private half: the same name without .pub, or without -cert.pub."

# The start of a file -> what it is, and what to do. {0} is the first group.
FORMS = (
    (rb"PuTTY-User-Key-File", "is a PuTTY key (.ppk)",
     "Convert it: puttygen {path} -O private-openssh -o NEWFILE (package putty-tools), and name that one as `key`."),
    (rb"([a-z0-9@.-]{1,60}-cert-v01@openssh\.com)\s", "is a certificate ({0}), not a private key", PRIVATE),
    (rb"((?:ssh|ecdsa|sk)-[a-z0-9@.-]{1,60})\s+AAAA[A-Za-z0-9+/=]+", "is the public half of a key ({0})", PRIVATE),
    (rb"-+ ?BEGIN (?:\w+ )*PUBLIC KEY", "is the public half of a key", PRIVATE),
    (rb"-+BEGIN CERTIFICATE", "is an X.509 certificate, not a private SSH key", NEW),
    (rb"-+ BEGIN SSH2 ENCRYPTED PRIVATE KEY", "is a key in the format of ssh.com", "Convert it: ssh-keygen -i -f {path}"),
    (rb"SSH PRIVATE KEY FILE FORMAT 1", "is an SSH 1 key", NEW),
    (rb"-+BEGIN DSA PRIVATE KEY", "is of a kind that edgepress cannot use (DSA)", NEW),
    (rb"\s*\Z", "is empty", "Name the file of a private key as `key` in boards.toml."),
)  # fmt: skip


def load(path: str, certificate: str | None, passphrase: Secret | None) -> paramiko.PKey:
    """Return the key, with the certificate in `<path>-cert.pub` if it exists. AuthenticationRefused says what the file is instead."""
    look(path)
    if Path(path).stat().st_mode & 0o077:
        _warn_of_open_file(path)
    # Its bytes, in any encoding.
    secret = passwords.reveal(passphrase).encode(errors="surrogateescape") if passphrase else None
    if (certificate_path := certificate_of(path, certificate)) is not None:
        _check_certificate(certificate_path)
    try:
        key: paramiko.PKey = paramiko.PKey.from_path(path, secret)  # type: ignore[arg-type]  # needs bytes
        key.get_name()  # fails for an elliptic curve without a name in SSH
        if certificate is not None:
            key.load_certificate(certificate)
    except BaseException as error:  # whatever paramiko and cryptography raise is due to the file
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        raise _unusable(path, error, passphrase) from error
    return key


def certificate_of(path: str, certificate: str | None) -> str | None:
    """Return the file of the key's certificate: the named one, or `<path>-cert.pub` if it exists."""
    return certificate or (f"{path}-cert.pub" if Path(f"{path}-cert.pub").exists() else None)


def _check_certificate(path: str) -> None:
    """AuthenticationRefused for a file with something else: paramiko would name the key after it, or send it as it is."""
    try:
        kind = small_file(path, LIMIT_BYTES).split(maxsplit=1)[:1]
        if kind and CERTIFICATE.fullmatch(kind[0]):
            return
        why = "is not an SSH certificate"
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    raise AuthenticationRefused(
        f"the certificate {path} {why}",
        hint=f"Remove it, or have it issued again; ssh-keygen -Lf {shlex.quote(path)} shows one.",
    )


def look(path: str) -> None:
    """AuthenticationRefused for a file that is not a private key of a usable kind."""
    try:
        data = small_file(path, LIMIT_BYTES)
    except OSError as error:
        raise AuthenticationRefused(
            f"the key {path} cannot be read: {error.strerror}",
            hint="Check `key` in boards.toml (IdentityFile in ssh_config).",
        ) from error
    for begins, what, remedy in FORMS:
        if match := re.match(begins, data):
            group = match[1].decode("ascii", "replace")[:60] if match.re.groups else ""
            raise AuthenticationRefused(
                f"the key {path} {what.format(group)}", hint=remedy.format(path=shlex.quote(path))
            )
    if b"-----BEGIN " not in data:
        raise AuthenticationRefused(
            f"{path} is not a private key", hint="Name the file of one as `key` in boards.toml."
        )
    if (sealed := re.search(rb"DEK-Info: *(.*)", data)) and not SEAL.fullmatch(sealed[1].strip()):
        raise AuthenticationRefused(
            f"the key {path} is damaged: its passphrase uses {diagnosis.last_words(sealed[1])[:60]}",
            hint="Copy it again from its source.",
        )
    kind, cipher, rounds = _of_openssh(data)
    if kind and kind not in USABLE:
        raise AuthenticationRefused(
            f"the key {path} is of a kind that edgepress cannot use ({kind})"
            + (": it needs a hardware token" if kind.startswith("sk-") else ""),
            hint=BY_AGENT.format(path=shlex.quote(path)) if kind.startswith("sk-") else NEW,
        )
    if cipher and cipher not in CIPHERS:
        raise AuthenticationRefused(
            f"the key {path} is encrypted with {cipher}, which edgepress cannot decrypt",
            hint=f"Load it into the ssh-agent, or encrypt it with another cipher: ssh-keygen -p -Z aes256-ctr -f {shlex.quote(path)}",
        )
    if rounds > MOST_ROUNDS:
        raise AuthenticationRefused(
            f"the key {path} needs {rounds} rounds of bcrypt for its passphrase, which would take minutes",
            hint=f"Load it into the ssh-agent, or reduce them: ssh-keygen -p -a 100 -f {shlex.quote(path)}",
        )


def _of_openssh(data: bytes) -> tuple[str, str, int]:
    """Return (type of the key, cipher, rounds of its passphrase) in OpenSSH's own format (PROTOCOL.key); ("", "", 0): it is in
    another format, or damaged.
    """
    match = re.search(rb"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END", data, re.DOTALL)
    if match is None:
        return "", "", 0
    try:
        fields = base64.b64decode(b"".join(match[1].split()), validate=True)
        cipher, rest = _string(fields[len(b"openssh-key-v1\0") :])
        _, rest = _string(rest)  # kdf
        options, rest = _string(rest)
        public, _ = _string(rest[4:])
        kind, _ = _string(public)
        rounds = struct.unpack(">I", _string(options)[1])[0] if options else 0
        names = [diagnosis.last_words(each)[:60] if KIND.fullmatch(each) else "" for each in (kind, cipher)]
        return names[0], names[1], rounds
    except (ValueError, struct.error):
        return "", "", 0


def _string(data: bytes) -> tuple[bytes, bytes]:
    """Return the first string in SSH's encoding (RFC 4251, 5), and the rest."""
    end = 4 + struct.unpack(">I", data[:4])[0]
    return data[4:end], data[end:]


def _unusable(path: str, error: BaseException, passphrase: Secret | None) -> AuthenticationRefused:
    if isinstance(error, OSError):
        return AuthenticationRefused(
            f"the key {path} or its certificate cannot be read: {error.strerror}", hint="Check both files."
        )
    if isinstance(error, TypeError) and passphrase is None:
        return AuthenticationRefused(
            f"the key {path} has a passphrase",
            hint='Set `passphrase = "ask"` or `passphrase_env = "NAME"` in boards.toml, or load it into the ssh-agent and set '
            "`ssh_agent = true` in place of `key`.",
        )
    words = diagnosis.last_words(str(error)) or type(error).__name__
    if isinstance(error, TypeError):
        return AuthenticationRefused(
            f"the key {path} has no passphrase, but boards.toml names one ({words})",
            hint="Remove `passphrase` or `passphrase_env` from boards.toml.",
        )
    if isinstance(error, paramiko.pkey.UnknownKeyType | AttributeError):
        found = getattr(error, "key_type", "an elliptic curve without a name in SSH")
        kind = getattr(found, "__name__", str(found)).removesuffix("PrivateKey")
        return AuthenticationRefused(f"the key {path} is of a kind that edgepress cannot use ({kind})", hint=NEW)
    if fault := _fault_of_form(small_file(path, LIMIT_BYTES)):
        return AuthenticationRefused(
            f"{path} is not a private key: it {fault}",
            hint=f"Copy the file again unchanged (scp keeps every byte); ssh-keygen -y -f {shlex.quote(path)} reads an intact one.",
        )
    if isinstance(error, paramiko.SSHException) and words.startswith("not a valid"):  # cryptography has just read it
        return AuthenticationRefused(
            f"the key {path} is in a format that edgepress does not read (PKCS#8)",
            hint=f"Convert it to OpenSSH's own format: ssh-keygen -p -f {shlex.quote(path)}",
        )
    if passphrase is not None:
        passwords.forget(passphrase)
    return AuthenticationRefused(
        f"{path} is not a private key{', or its passphrase is wrong' if passphrase else ''}: {words}",
        hint=(
            f"Is the passphrase right? `ssh-keygen -y -f {shlex.quote(path)}` asks for it. "
            if passphrase
            else "Does ssh-keygen -y read it? "
        )
        + f"Then convert it to OpenSSH's own format: ssh-keygen -p -f {shlex.quote(path)}",
    )


def _fault_of_form(data: bytes) -> str:
    """Return how an editor or a clipboard has damaged a key file; "": no known damage."""
    if not data.startswith(b"-----BEGIN "):
        return f"has something before its first line, which must begin with -----BEGIN: {diagnosis.last_words(data[:20])[:20]!r}"
    if b"\n" not in data.strip():
        return "is a single line, but a key has many"
    return "" if b"-----END " in data else "has no end: the line -----END ... is missing"


@functools.cache
def _warn_of_open_file(path: str) -> None:
    logging.getLogger("edgepress").warning(
        "the private key %s can be read by others (ssh would refuse it); do: chmod 600 %s", path, shlex.quote(path)
    )
