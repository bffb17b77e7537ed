"""Unpack a wheel into a folder for sys.path, without pip: Debian refuses a pip install, and a minimal board has no pip.

A wheel is a zip with a RECORD of the hash of every file (packaging.python.org, "Binary distribution format"). Scripts and
headers are left out: a site is only imported from. Each wheel is its own site, under the wheel's hash, so that a numpy that
two runtimes need is unpacked once. (Two wheels may share a package only as a namespace package, PEP 420.)
"""

import base64
import contextlib
import csv
import hashlib
import io
import os
import py_compile
import shutil
import tempfile
import zipfile
import zlib
from typing import Iterator, List, Tuple

from device_agent import wire
from device_agent.channel import Channel, Refused
from device_agent.files.layout import CHUNK_BYTES, Layout, is_intact, sha256_of, sync
from device_agent.files.transfer import explained

BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError)
SAME_PLACE = (FileExistsError, NotADirectoryError)  # two of its files want the same path
UNHASHED = ("RECORD", "RECORD.jws", "RECORD.p7s")  # in the .dist-info folder: a list cannot hold its own hash
SEAL = ".edgepress-sha256"  # "hash path" of each file
ALGORITHMS = ("sha256", "sha384", "sha512")  # what the wheel format allows


def unpack(layout: Layout, work: str, channel: Channel, request: wire.Unpack) -> wire.Unpacked:
    """Serve wire.Unpack; at once if the site exists. Refused: not_found (the wheel), bad_wheel, no_space, not_writable."""
    final = layout.site(request.sha256)
    if not os.path.isdir(final):
        with tempfile.TemporaryDirectory(prefix="site-", dir=work) as parent:
            site = os.path.join(parent, "site")
            os.mkdir(site)
            try:
                _unpack_wheel(layout, channel, request, site)
                _compile(channel, site, final)
                _seal(channel, site)
            except OSError as error:
                if isinstance(error, FileNotFoundError) and os.path.isdir(final):  # another host was faster, see below
                    return wire.Unpacked(request.sha256)
                raise explained(error, layout) from error
            os.sync()  # one for a thousand small files: an fsync of each takes minutes on an SD card
            if not os.path.isdir(final):  # else another host was faster
                os.rename(site, final)
            sync(os.path.dirname(final))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(layout.blob(request.sha256))  # half of a runtime's space; the host has the wheel
    return wire.Unpacked(request.sha256)


def _unpack_wheel(layout: Layout, channel: Channel, request: wire.Unpack, site: str) -> None:
    name, path = request.name, layout.blob(request.sha256)
    if not os.path.isfile(path):
        raise Refused("not_found", f"the wheel {name} is not here")
    if not is_intact(path, channel.check):
        raise Refused("bad_wheel", f"{name} was damaged on the board and has been removed: send it again")
    try:
        with zipfile.ZipFile(path) as archive:
            layout.require_room(sum(member.file_size for member in archive.infolist()))
            for member, recorded in _members(name, archive):
                target = _place_in_site(member.filename)
                actual = _extract(
                    channel, archive, member, os.path.join(site, target) if target else os.devnull, recorded
                )
                if actual != recorded:
                    raise Refused("bad_wheel", f"{name}: {member.filename} does not have the hash of RECORD")
    except BROKEN_ZIP + SAME_PLACE as error:
        raise Refused("bad_wheel", f"{name} is not a readable wheel: {error}") from error


def _members(name: str, archive: zipfile.ZipFile) -> Iterator[Tuple[zipfile.ZipInfo, str]]:
    """Yield every file with its recorded hash ("" for RECORD itself), after the checks that need no content."""
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
    unhashed = [folder + each for each in UNHASHED]
    for each in unhashed:
        recorded.pop(each, None)
    hashed = set(names).difference(unhashed)
    differ = [filename for filename in hashed | set(recorded) if filename not in hashed or not recorded.get(filename)]
    if differ:
        raise Refused("bad_wheel", f"{name}: RECORD and content differ: {sorted(differ)[:5]}")
    for member in files:
        yield member, recorded.get(member.filename, "")


def _extract(channel: Channel, archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str, recorded: str) -> str:
    """Write a file piece by piece: some are larger than a small board's memory. Returns its hash in the notation of RECORD: the
    algorithm, "=", base64 without padding; "" if RECORD has none.
    """
    algorithm = recorded.partition("=")[0]
    if recorded and algorithm not in ALGORITHMS:
        return f"unknown algorithm {algorithm}"
    digest = hashlib.new(algorithm or ALGORITHMS[0])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with archive.open(member) as source, open(path, "wb" if path == os.devnull else "xb") as file:
        for chunk in iter(lambda: source.read(CHUNK_BYTES), b""):
            channel.check()
            digest.update(chunk)
            file.write(chunk)
    return recorded and algorithm + "=" + base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")


def _place_in_site(filename: str) -> str:
    """Return where a wheel's file goes, relative to the site; "" if it is not installed."""
    top, _, rest = filename.partition("/")
    if not top.endswith(".data"):
        return filename
    scheme, _, rest = rest.partition("/")
    return rest if scheme in ("purelib", "platlib") else ""


def is_sound(site: str) -> bool:
    """Whether a site has exactly the files that were unpacked and compiled. A damaged one is removed: the host will find it missing.

    FileNotFoundError if it is missing.
    """
    try:
        with open(os.path.join(site, SEAL), encoding="utf-8") as file:
            lines = [line.rstrip("\n").partition(" ") for line in file]
        present = set(_files(site)) - {SEAL}  # an added file would be imported, too
        sound = {path for _, _, path in lines} == present
        sound = sound and all(sha256_of(os.path.join(site, path)) == sha256 for sha256, _, path in lines)
    except (OSError, UnicodeDecodeError):
        sound = False
    if not sound:
        shutil.rmtree(site)
    return sound


def _seal(channel: Channel, site: str) -> None:
    """Store the hash of every file: RECORD has none of the compiled ones."""
    lines = [f"{sha256_of(os.path.join(site, path), channel.check)} {path}\n" for path in _files(site)]
    with open(os.path.join(site, SEAL), "w", encoding="utf-8") as file:
        file.writelines(lines)


def _files(site: str) -> List[str]:
    """Return all files, relative to the site; also links to folders, which a sound site does not have."""
    found = []
    for folder, folders, names in os.walk(site):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        found += [os.path.relpath(os.path.join(folder, name), site) for name in (*names, *links)]
    return found


def _compile(channel: Channel, site: str, final: str) -> None:
    """Compile now, else the first launch would have a longer import time than all others."""
    for folder, _, names in os.walk(site):
        for name in names:
            if name.endswith(".py"):
                channel.check()
                path = os.path.join(folder, name)
                # errors go to stderr: packages contain files for other versions of Python, which are never imported
                py_compile.compile(path, dfile=os.path.join(final, os.path.relpath(path, site)), doraise=False)
