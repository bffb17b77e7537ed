"""Pinned host keys: files in the format of OpenSSH's known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).

paramiko's own reader silently skips @revoked and @cert-authority lines, so the files are read here.
"""

import base64
import binascii
import fcntl
import fnmatch
import hashlib
import hmac
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from targets.errors import HostKeyChanged, HostKeyUnknown
from targets.host import small_file

REVOKED, AUTHORITY = "@revoked", "@cert-authority"
SSH_PORT = 22
LIMIT_BYTES = 16 << 20


class Entry(msgspec.Struct, frozen=True):
    """One line."""

    marker: str  # "", REVOKED or AUTHORITY
    names: str
    kind: str  # ssh-ed25519
    key: bytes
    place: str  # file:line


class HostKey(msgspec.Struct, frozen=True):
    kind: str
    key: bytes

    @property
    def fingerprint(self) -> str:
        """The fingerprint as in ssh-keygen -l, after the type: "ssh-ed25519 SHA256:..."."""
        return fingerprint(self.kind, self.key)


def fingerprint(kind: str, key: bytes) -> str:
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    return f"{kind} SHA256:{digest}"


def name_of(host: str, port: int) -> str:
    """Return the name of a host in known_hosts."""
    return host.lower() if port == SSH_PORT else f"[{host.lower()}]:{port}"


def read(paths: Iterable[str]) -> list[Entry]:
    """Return all lines of these files; a missing file has none.

    An invalid line allows nothing: it becomes an entry without a host, which check() reports. But with a marker it may be
    meant to forbid something: HostKeyUnknown.
    """
    entries = []
    for path in paths:
        try:
            text = small_file(path, LIMIT_BYTES).decode(errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HostKeyUnknown(
                f"the host keys in {path} cannot be read: {error.strerror}",
                hint="Make it a readable file, or name another as `known_hosts` in boards.toml.",
            ) from error
        for number, line in enumerate(text.splitlines(), 1):
            entry = _entry(line, f"{path}:{number}")
            if entry is not None:
                entries.append(entry)
    return entries


def _entry(line: str, place: str) -> Entry | None:
    fields = line.split()
    if not fields or fields[0].startswith("#"):
        return None
    marker = fields.pop(0) if fields[0].startswith("@") else ""
    try:
        names, kind, key = fields[:3]
        entry = Entry(marker, names, kind, base64.b64decode(key, validate=True), place)
    except (ValueError, binascii.Error):
        entry = None
    if marker and (entry is None or marker not in {REVOKED, AUTHORITY}):
        raise HostKeyUnknown(f"{place} cannot be parsed: {marker} ...", hint="Correct or remove that line.")
    return entry or Entry("", "", "", b"", place)


def matches(names: str, host: str) -> bool:
    """Whether the first field of a line matches this host: patterns with * and ?, !exceptions, or a hash."""
    found = False
    for pattern in names.split(","):
        if pattern.startswith("|1|"):
            found |= _hash_matches(pattern, host)
        elif pattern.startswith("!"):
            if _pattern_matches(pattern[1:], host):
                return False
        else:
            found |= _pattern_matches(pattern, host)
    return found


def _pattern_matches(pattern: str, host: str) -> bool:
    """Match one pattern. [ ] belong to a name with a port here; fnmatch would read a set of characters."""
    return fnmatch.fnmatchcase(host, pattern.lower().replace("[", "[[]"))


def _hash_matches(pattern: str, host: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in pattern.split("|")[2:])
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(hmac.new(salt, host.encode(), hashlib.sha1).digest(), digest)


def kinds(entries: Iterable[Entry], name: str) -> set[str]:
    """Return the key types that are pinned for this host: they are requested first."""
    return {entry.kind for entry in entries if not entry.marker and matches(entry.names, name)}


def check(entries: Sequence[Entry], name: str, shown: HostKey, *, files: str, trust: str) -> None:
    """Return if this key is pinned for the host. HostKeyUnknown, HostKeyChanged: it is not, or it is revoked.

    `files` (where keys are pinned) and `trust` (the command that pins) are for the messages.
    """
    of_host = [entry for entry in entries if matches(entry.names, name)]
    for entry in of_host:
        if entry.marker == REVOKED and entry.key == shown.key:
            raise HostKeyChanged(
                f"the host key of {name} is REVOKED: {shown.fingerprint} ({entry.place})",
                hint="Someone declared this key unsafe. Give the board a new host key, then pin that one.",
            )
    pinned = [entry for entry in of_host if not entry.marker]
    if any(entry.key == shown.key for entry in pinned):
        return
    if pinned:
        same = [entry for entry in pinned if entry.kind == shown.kind]
        told = ", ".join(f"{fingerprint(entry.kind, entry.key)} in {entry.place}" for entry in same or pinned)
        raise HostKeyChanged(
            f"the host key of {name} has CHANGED: it shows {shown.fingerprint}, pinned is {told}"
            if same
            else f"{name} shows a key of a type that is not pinned, {shown.fingerprint}; pinned is {told}",
            hint=f"Was the board reinstalled? If so, remove its line there and run `{trust}`. If not, the connection may be "
            "intercepted.",
        )
    authority = next((entry for entry in of_host if entry.marker == AUTHORITY), None)
    if authority is not None:
        raise HostKeyUnknown(
            f"{name} is only known by a certificate authority ({authority.place}), which edgepress does not check; it "
            f"shows {shown.fingerprint}",
            hint=f"Pin its own key: run `{trust}` and compare the fingerprint with the board's.",
        )
    damaged = [entry.place for entry in entries if not entry.kind]
    raise HostKeyUnknown(
        f"the host key of {name} is unknown: it shows {shown.fingerprint}, which is not in {files}"
        + (f" ({len(damaged)} of its lines cannot be parsed, the first is {damaged[0]})" if damaged else ""),
        hint=f"Run `{trust}` and compare the fingerprint that it shows with the board's.",
    )


def accepted(paths: Iterable[str], name: str, shown: HostKey) -> bool:
    """Whether this key is already pinned for the host."""
    try:
        check(read(paths), name, shown, files="", trust="")
    except (HostKeyUnknown, HostKeyChanged):
        return False
    return True


def is_pinned(path: Path, name: str, shown: HostKey) -> bool:
    """Whether the file has this key for the host. HostKeyChanged if it has another one of this type."""
    for entry in read([str(path)]):
        if entry.marker or entry.kind != shown.kind or not matches(entry.names, name):
            continue
        if entry.key == shown.key:
            return True
        raise HostKeyChanged(
            f"another key of {name} is pinned in {entry.place}, not this one: {shown.fingerprint}",
            hint="Was the board reinstalled? Then remove that line and run this again.",
        )
    return False


def pin(path: Path, name: str, shown: HostKey) -> None:
    """Add the key to the file atomically. HostKeyChanged if another key of this type is pinned for the host; HostKeyUnknown if
    the file cannot be written.
    """
    try:
        _pin(path, name, shown)
    except OSError as error:
        raise HostKeyUnknown(
            f"the host key of {name} cannot be pinned in {path}: {error.strerror}",
            hint="Make that file and its folder writable, or name another as `known_hosts` in boards.toml.",
        ) from error


def _pin(path: Path, name: str, shown: HostKey) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # two processes that pin at the same time lose no line
        if is_pinned(path, name, shown):
            return
        before = path.read_bytes() if path.exists() else b""
        gap = b"" if not before or before.endswith(b"\n") else b"\n"
        line = f"{name} {shown.kind} {base64.b64encode(shown.key).decode()}\n".encode()
        _replace(path, before + gap + line, folder)
    finally:
        os.close(folder)


def _replace(path: Path, data: bytes, folder: int) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".known_hosts-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), path.stat().st_mode & 0o777 if path.exists() else 0o644)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    os.fsync(folder)
