"""Wheels on this host: downloaded once for a board's tags, kept in the user's cache and checked before each use.

Versions are exact, `onnxruntime==1.32.0`. The user's pip configuration may choose the source (a company's index), but not the
content: its constraints and requirements are ignored, and the download is checked against the request.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from targets.deadlines import Say, Wait
from targets.errors import WheelsUnavailable
from targets.folders import cache_folder
from targets.host import sha256_of, sync

DOWNLOAD_TIMEOUT_S = 600
LOCK_POLL_S = 0.1
MOST_NAMED = 12  # versions in a message, the newest
HASHES = "sha256sums"  # in each folder of wheels: the output of sha256sum
IGNORED = {"PIP_CONSTRAINT": os.devnull, "PIP_REQUIREMENT": os.devnull}
"""An empty file in place of the user's, also of those in pip.conf: a variable takes precedence, but an empty one is ignored."""


class Wheel(msgspec.Struct, frozen=True):
    """A wheel file on this host."""

    path: Path
    sha256: str


def wheels(name: str, options: Sequence[str], requirements: Sequence[str], say: Say | None = None) -> tuple[Wheel, ...]:
    """Return what `pip download` gets for these `package==version`, from the cache if it is there and undamaged.

    `options` are pip's; `name` is for messages. WheelsUnavailable.
    """
    asked = json.dumps([*options, *requirements])
    folder = cache_folder() / "wheels" / hashlib.sha256(asked.encode()).hexdigest()[:32]
    try:
        with Wait("pip", f"get the wheels of {name}", DOWNLOAD_TIMEOUT_S, say) as wait, _alone(folder, wait):
            found = _kept(folder)
            if not found:
                _download(name, options, requirements, folder)
                found = _kept(folder)
    except OSError as error:
        raise WheelsUnavailable(
            f"the wheels of {name} cannot be kept in {folder.parent}: {error}",
            hint="Free space there, or name another folder in XDG_CACHE_HOME.",
        ) from error
    return found


def of_file(path: Path) -> Wheel:
    """Return a wheel that the user gives. WheelsUnavailable."""
    try:
        return Wheel(path, sha256_of(path))
    except OSError as error:
        raise WheelsUnavailable(f"{path} cannot be read: {error.strerror}", hint="Give the path of a wheel.") from error


@contextlib.contextmanager
def _alone(folder: Path, wait: Wait) -> Iterator[None]:
    """Let one process at a time check and fill a folder of wheels; the others wait until it is filled."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when this process ends, however it ends
                break
            except BlockingIOError:
                if wait.is_over():
                    raise OSError(errno.EAGAIN, "another edgepress has been filling it for too long") from None
                time.sleep(LOCK_POLL_S)
        yield


def _kept(folder: Path) -> tuple[Wheel, ...]:
    """Return the wheels in a finished folder; () if one is missing or its hash has changed since the download."""
    found = []
    try:
        for line in (folder / HASHES).read_text().splitlines():
            sha256, _, name = line.partition("  ")
            path = folder / Path(name).name
            if sha256_of(path) != sha256:
                return ()
            found.append(Wheel(path, sha256))
    except (OSError, UnicodeDecodeError):
        return ()
    return tuple(found)


def _download(name: str, options: Sequence[str], requirements: Sequence[str], folder: Path) -> None:
    """Fill the folder at once, under its lock; an interrupted download is removed by the next."""
    scratch = folder.with_suffix(".unfinished")
    shutil.rmtree(scratch, ignore_errors=True)
    new, temporary = scratch / "wheels", scratch / "tmp"
    temporary.mkdir(parents=True)
    try:
        _ask_pip(name, (*options, *requirements), new, temporary)
        paths = sorted(new.iterdir())
        _check_versions(name, requirements, [path.name for path in paths])
        (new / HASHES).write_text("".join(f"{sha256_of(path)}  {path.name}\n" for path in paths))
        for path in (*paths, new / HASHES, new):
            sync(path)
        shutil.rmtree(folder, ignore_errors=True)  # damaged, or from an older edgepress
        new.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _ask_pip(name: str, options: Sequence[str], folder: Path, temporary: Path) -> None:
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-input",
               "--disable-pip-version-check", "--dest", str(folder), *options]  # fmt: skip
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DOWNLOAD_TIMEOUT_S,
            check=False,
            env=os.environ | IGNORED | {"TMPDIR": str(temporary)},
        )
        if done.returncode == 0:
            return
        said = done.stderr.strip().splitlines()
    except subprocess.TimeoutExpired:
        said = [f"no end after {DOWNLOAD_TIMEOUT_S} s"]
    last = [line for line in said if line.startswith("ERROR")] or said[-1:] or ["it said nothing"]
    others = re.search(r"\(from versions: (?!none)([^)]*)\)", "\n".join(said))
    raise WheelsUnavailable(
        f"the wheels of {name} for this board could not be downloaded: {last[-1]}",
        hint=f"Available for this board: {', '.join(others[1].split(', ')[-MOST_NAMED:])}. Name one in [board] runtimes."
        if others
        else "This host (not the board) needs the package index once; later the wheels come from "
        f"{folder.parent.parent}. A host without internet can be given that folder.",
    )


def _check_versions(name: str, requirements: Sequence[str], files: Sequence[str]) -> None:
    """WheelsUnavailable unless each requirement came as one wheel of that version, and nothing else came."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name, parse_wheel_filename

    came = {canonicalize_name(found[0]): found[1] for found in map(parse_wheel_filename, files)}
    asked = [Requirement(each) for each in requirements]
    if len(files) != len(asked) or not all(
        (version := came.get(canonicalize_name(each.name))) and each.specifier.contains(version, prereleases=True)
        for each in asked
    ):
        raise WheelsUnavailable(
            f"pip was asked for {', '.join(requirements)} (for {name}), but downloaded {', '.join(files) or 'nothing'}",
            hint="Check this host's pip configuration (pip config list): it makes pip download something else.",
        )
