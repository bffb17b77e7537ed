"""Unpack: make a folder for sys.path of wheels, without pip: a Debian board refuses pip, a minimal one has none.

A wheel is a zip with a RECORD of the hash of every file (packaging.python.org, "Binary distribution format"). Scripts and
headers are left out: a site is imported from, nothing else.
"""

import base64
import csv
import hashlib
import io
import os
import py_compile
import tempfile
import zipfile
import zlib
from typing import Dict, Iterator, List, Tuple

from device_agent import wire
from device_agent.channel import Channel, Refused
from device_agent.place import Place, is_intact, sync

BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError)
UNHASHED = ("RECORD", "RECORD.jws", "RECORD.p7s")  # of the .dist-info folder: a list can not hold its own hash
ALGORITHMS = ("sha256", "sha384", "sha512")  # what the wheel format allows


def unpack(place: Place, work: str, channel: Channel, request: wire.Unpack) -> wire.Unpacked:
    """Refused: not_found (a wheel), bad_wheel, no_space. A site that is already here is Unpacked at once."""
    final = place.site(request.site_sha256)
    if not os.path.isdir(final):
        wheels = [(name, place.blob(sha256)) for name, sha256 in request.wheels]
        with tempfile.TemporaryDirectory(prefix="site-", dir=work) as parent:
            site = os.path.join(parent, "site")
            os.mkdir(site)
            origin: Dict[str, Tuple[str, str]] = {}
            for name, path in wheels:
                _unpack_wheel(place, channel, name, path, site, origin)
            _compile(channel, site, final)
            os.sync()  # one for a thousand small files: an fsync of each takes minutes on an SD card
            if not os.path.isdir(final):  # else another host has won
                os.rename(site, final)
            sync(os.path.dirname(final))
    return wire.Unpacked(request.site_sha256)


def _unpack_wheel(
    place: Place, channel: Channel, name: str, path: str, site: str, origin: Dict[str, Tuple[str, str]]
) -> None:
    """`origin`: path in the site -> (wheel, recorded hash) of all wheels before; files that two wheels share must agree."""
    if not os.path.isfile(path):
        raise Refused("not_found", f"the wheel {name} is not here")
    if not is_intact(path, channel.check):
        raise Refused("bad_wheel", f"{name} was damaged on the board and is removed: send it again")
    try:
        with zipfile.ZipFile(path) as archive:
            place.require_room(sum(member.file_size for member in archive.infolist()))
            for member, recorded in _members(name, archive):
                channel.check()
                data = archive.read(member)
                if recorded and _hash_of(data, recorded) != recorded:
                    raise Refused("bad_wheel", f"{name}: {member.filename} does not have the hash of RECORD")
                target = _place_in_site(member.filename)
                if target in origin and origin[target][1] != recorded:
                    raise Refused("bad_wheel", f"{name} and {origin[target][0]} both bring {target}, and they differ")
                if target:
                    origin[target] = (name, recorded)
                    _write(os.path.join(site, target), data)
    except BROKEN_ZIP as error:
        raise Refused("bad_wheel", f"{name} is no readable wheel: {error}") from error


def _members(name: str, archive: zipfile.ZipFile) -> Iterator[Tuple[zipfile.ZipInfo, str]]:
    """Every file with its recorded hash ("" for RECORD itself), after the checks that need no content."""
    files = [member for member in archive.infolist() if not member.is_dir()]
    names = [member.filename for member in files]
    for filename in names:
        if "\\" in filename or "\0" in filename or any(part in ("", ".", "..") for part in filename.split("/")):
            raise Refused("bad_wheel", f"{name}: unsafe file name {filename!r}")
    records = [filename for filename in names if filename.endswith(".dist-info/RECORD") and filename.count("/") == 1]
    if len(records) != 1 or len(set(names)) != len(names):
        raise Refused("bad_wheel", f"{name}: {len(records)} RECORD files, {len(names) - len(set(names))} doubled names")
    rows: List[List[str]] = list(csv.reader(io.StringIO(archive.read(records[0]).decode("utf-8"))))
    recorded = {row[0]: row[1] for row in rows if len(row) == 3}
    folder = records[0][: -len("RECORD")]
    for unhashed in UNHASHED:
        recorded.pop(folder + unhashed, None)
    hashed = {filename for filename in names if filename not in [folder + unhashed for unhashed in UNHASHED]}
    if hashed != set(recorded):
        raise Refused("bad_wheel", f"{name}: RECORD and content differ: {sorted(hashed ^ set(recorded))[:5]}")
    for member in files:
        yield member, recorded.get(member.filename, "")


def _hash_of(data: bytes, recorded: str) -> str:
    """In the notation of RECORD: the algorithm, "=", base64 without padding."""
    algorithm = recorded.partition("=")[0]
    if algorithm not in ALGORITHMS:
        return "none"
    digest = hashlib.new(algorithm, data).digest()
    return algorithm + "=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _place_in_site(filename: str) -> str:
    """Where a wheel's file goes, relative to the site; "" for what is not installed."""
    top, _, rest = filename.partition("/")
    if not top.endswith(".data"):
        return filename
    scheme, _, rest = rest.partition("/")
    return rest if scheme in ("purelib", "platlib") else ""


def _write(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def _compile(channel: Channel, site: str, final: str) -> None:
    """Now, so that the first launch does not pay for it: its import time would be another one than that of all others."""
    for folder, _, names in os.walk(site):
        for name in names:
            if name.endswith(".py"):
                channel.check()
                path = os.path.join(folder, name)
                # errors go to stderr: packages bring files for other versions of Python, which nobody imports
                py_compile.compile(path, dfile=os.path.join(final, os.path.relpath(path, site)), doraise=False)
