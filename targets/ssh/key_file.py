"""A private key from a file. What is no key that can be used is named for what it is, before anybody is connected to."""

import base64
import functools
import logging
import re
import shlex
import struct
from pathlib import Path

import paramiko

from targets import said
from targets.errors import AuthenticationRefused
from targets.host import small_file
from targets.ssh import passwords
from targets.ssh.passwords import Secret

LIMIT_BYTES = 1 << 16  # an RSA key of 16384 bits has 13 kB
CERTIFICATE = re.compile(rb"[a-z0-9@.-]{1,60}-cert-v01@openssh\.com")
KIND = re.compile(rb"[a-z0-9@.-]{1,60}")
SEAL = re.compile(rb"AES-(?:128|192|256)-CBC,[0-9A-Fa-f]{32}|DES(?:-EDE3)?-CBC,[0-9A-Fa-f]{16}")
USABLE = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
PANIC = "PanicException"  # what becomes of an assertion in cryptography's Rust: it is no Exception, and has no name to import
CIPHERS = ("none", *(f"aes{bits}-{mode}" for bits in (128, 192, 256) for mode in ("ctr", "cbc")))  # that paramiko opens
MOST_ROUNDS = 5000  # of bcrypt, some 10 ms each; ssh-keygen makes 24
BY_AGENT = "Load it into the ssh-agent (ssh-add {path}) and say `ssh_agent = true` in place of `key`: the agent asks the token."
NEW = "Make one that can (ssh-keygen -t ed25519), and put its public half into ~/.ssh/authorized_keys there."
PRIVATE = "`key` is the file of the private half: the same name without .pub, or without -cert.pub."

# What a file begins with -> what it is, and what to do. {0} is the first group.
FORMS = (
    (rb"PuTTY-User-Key-File", "is a key of PuTTY (.ppk)",
     "Convert it: puttygen {path} -O private-openssh -o NEWFILE (package putty-tools), and name that one as `key`."),
    (rb"([a-z0-9@.-]{1,60}-cert-v01@openssh\.com)\s", "is a certificate ({0}), not a private key", PRIVATE),
    (rb"((?:ssh|ecdsa|sk)-[a-z0-9@.-]{1,60})\s+AAAA[A-Za-z0-9+/=]+", "is the public half of a key ({0})", PRIVATE),
    (rb"-+ ?BEGIN (?:\w+ )*PUBLIC KEY", "is the public half of a key", PRIVATE),
    (rb"-+BEGIN CERTIFICATE", "is an X.509 certificate, not a private key of SSH", NEW),
    (rb"-+ BEGIN SSH2 ENCRYPTED PRIVATE KEY", "is a key in the form of ssh.com", "Convert it: ssh-keygen -i -f {path}"),
    (rb"SSH PRIVATE KEY FILE FORMAT 1", "is a key of SSH 1", NEW),
    (rb"-+BEGIN DSA PRIVATE KEY", "is of a kind that edgepress can not use (DSA)", NEW),
    (rb"\s*\Z", "is empty", "Name the file of a private key as `key` in boards.toml."),
)  # fmt: skip


def load(path: str, certificate: str | None, passphrase: Secret | None) -> paramiko.PKey:
    """The key, with the certificate of `<path>-cert.pub` where there is one. AuthenticationRefused says what the file is instead."""
    look(path)
    if Path(path).stat().st_mode & 0o077:
        _warn_of_open_file(path)
    secret = (
        passwords.reveal(passphrase).encode(errors="surrogateescape") if passphrase else None
    )  # its bytes, of any encoding
    if (beside := certificate_of(path, certificate)) is not None:
        _look_at_certificate(beside)
    try:
        key: paramiko.PKey = paramiko.PKey.from_path(path, secret)  # type: ignore[arg-type]  # wants bytes
        key.get_name()  # an elliptic curve that SSH has no name for has none
        if certificate is not None:
            key.load_certificate(certificate)
    except BaseException as error:  # whatever paramiko and cryptography raise, it is for what the file holds
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        raise _unusable(path, error, passphrase) from error
    return key


def certificate_of(path: str, certificate: str | None) -> str | None:
    """The file of the certificate that goes with this key: the one that is named, or the one beside it."""
    return certificate or (f"{path}-cert.pub" if Path(f"{path}-cert.pub").exists() else None)


def _look_at_certificate(path: str) -> None:
    """AuthenticationRefused for a file that holds something else: paramiko would name the key for it, or send it as it is."""
    try:
        kind = small_file(path, LIMIT_BYTES).split(maxsplit=1)[:1]
        if kind and CERTIFICATE.fullmatch(kind[0]):
            return
        why = "is not a certificate of SSH"
    except OSError as error:
        why = f"can not be read: {error.strerror}"
    raise AuthenticationRefused(
        f"the certificate {path} {why}",
        hint=f"Remove it, or have it made again; ssh-keygen -Lf {shlex.quote(path)} shows one.",
    )


def look(path: str) -> None:
    """AuthenticationRefused for a file that holds something else than a private key of a kind that can be used."""
    try:
        data = small_file(path, LIMIT_BYTES)
    except OSError as error:
        raise AuthenticationRefused(
            f"the key {path} can not be read: {error.strerror}",
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
            f"the key {path} is damaged: its passphrase goes with {said.last_words(sealed[1])[:60]}",
            hint="Take it from where it came from once more.",
        )
    kind, cipher, rounds = _of_openssh(data)
    if kind and kind not in USABLE:
        raise AuthenticationRefused(
            f"the key {path} is of a kind that edgepress can not use ({kind})"
            + (": a token signs with it" if kind.startswith("sk-") else ""),
            hint=BY_AGENT.format(path=shlex.quote(path)) if kind.startswith("sk-") else NEW,
        )
    if cipher and cipher not in CIPHERS:
        raise AuthenticationRefused(
            f"the key {path} is sealed with {cipher}, which edgepress can not open",
            hint=f"Load it into the ssh-agent, or seal it with another: ssh-keygen -p -Z aes256-ctr -f {shlex.quote(path)}",
        )
    if rounds > MOST_ROUNDS:
        raise AuthenticationRefused(
            f"the key {path} wants {rounds} rounds of bcrypt for its passphrase, which would take minutes",
            hint=f"Load it into the ssh-agent, or lower them: ssh-keygen -p -a 100 -f {shlex.quote(path)}",
        )


def _of_openssh(data: bytes) -> tuple[str, str, int]:
    """(type of the key, cipher of its passphrase, rounds) in OpenSSH's own form (PROTOCOL.key); ("", "", 0): it is in another, or
    damaged.
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
        names = [said.last_words(each)[:60] if KIND.fullmatch(each) else "" for each in (kind, cipher)]
        return names[0], names[1], rounds
    except (ValueError, struct.error):
        return "", "", 0


def _string(data: bytes) -> tuple[bytes, bytes]:
    """The first string of SSH's encoding (RFC 4251, 5), and what follows it."""
    end = 4 + struct.unpack(">I", data[:4])[0]
    return data[4:end], data[end:]


def _unusable(path: str, error: BaseException, passphrase: Secret | None) -> AuthenticationRefused:
    if isinstance(error, OSError):
        return AuthenticationRefused(
            f"the key {path}, or its certificate, can not be read: {error.strerror}", hint="Check both files."
        )
    if isinstance(error, TypeError) and passphrase is None:
        return AuthenticationRefused(
            f"the key {path} has a passphrase",
            hint='Say `passphrase = "ask"` or `passphrase_env = "NAME"` in boards.toml, or load it into ssh-agent and set '
            "`ssh_agent = true` in place of `key`.",
        )
    words = said.last_words(str(error)) or type(error).__name__
    if isinstance(error, TypeError):
        return AuthenticationRefused(
            f"the key {path} has no passphrase, and boards.toml names one ({words})",
            hint="Take `passphrase` or `passphrase_env` out of boards.toml.",
        )
    if isinstance(error, paramiko.pkey.UnknownKeyType | AttributeError):
        found = getattr(error, "key_type", "an elliptic curve that SSH has no name for")
        kind = getattr(found, "__name__", str(found)).removesuffix("PrivateKey")
        return AuthenticationRefused(f"the key {path} is of a kind that edgepress can not use ({kind})", hint=NEW)
    if fault := _fault_of_form(small_file(path, LIMIT_BYTES)):
        return AuthenticationRefused(
            f"{path} is not a private key: it {fault}",
            hint=f"Copy the file once more, as it is (scp keeps every byte); ssh-keygen -y -f {shlex.quote(path)} reads a sound one.",
        )
    if isinstance(error, paramiko.SSHException) and words.startswith("not a valid"):  # cryptography has just read it
        return AuthenticationRefused(
            f"the key {path} is in a form that edgepress does not read (PKCS#8)",
            hint=f"Let ssh-keygen write OpenSSH's own form: ssh-keygen -p -f {shlex.quote(path)}",
        )
    if passphrase is not None:
        passwords.forget(passphrase)
    return AuthenticationRefused(
        f"{path} is not a private key{', or its passphrase is another' if passphrase else ''}: {words}",
        hint=(
            f"Is that its passphrase? `ssh-keygen -y -f {shlex.quote(path)}` asks for it. "
            if passphrase
            else "Does ssh-keygen -y read it? "
        )
        + f"Then let it write OpenSSH's own form: ssh-keygen -p -f {shlex.quote(path)}",
    )


def _fault_of_form(data: bytes) -> str:
    """What became of the file of a key on its way, through an editor or a clipboard; "": nothing that is seen."""
    if not data.startswith(b"-----BEGIN "):
        return f"has something before its first line, which must begin with -----BEGIN: {said.last_words(data[:20])[:20]!r}"
    if b"\n" not in data.strip():
        return "is all in one line, and a key has many"
    return "" if b"-----END " in data else "has no end: the line -----END ... is missing"


@functools.cache
def _warn_of_open_file(path: str) -> None:
    logging.getLogger("edgepress").warning(
        "the private key %s can be read by others (ssh would refuse it); do: chmod 600 %s", path, shlex.quote(path)
    )
