"""The runtimes that a board can have, and how they get there: wheels for its Python, libc and CPU, downloaded here.

The board needs no internet and no pip: it gets the wheel files as blobs and unpacks them itself.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from device_agent.wire import Machine
from targets.errors import RuntimeUnavailable, WheelsUnavailable
from targets.inventory import cache_folder
from targets.session import Session

DOWNLOAD_TIMEOUT_S = 600
NEWEST_MINOR = 99  # of glibc 2: what a board says of itself must not make a million options
WHEEL_ARCHES = {"x86_64": "x86_64", "aarch64": "aarch64", "armv7l": "armv7l", "armv6l": "armv6l"}
# manylinux wheels exist from glibc 2.5 (x86) and 2.17 (Arm) on: PEP 513, 571, 599, 600.
OLD_NAMES = {(2, 5): "manylinux1", (2, 12): "manylinux2010", (2, 17): "manylinux2014"}


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """Where wheels of a runtime exist. Figures: the wheels on the package index, read 2026-11."""

    formats: tuple[str, ...]  # of the model files that it runs
    requirements: tuple[str, ...]  # installed without their own requirements: to run a model they need no more
    pythons: tuple[tuple[int, int], tuple[int, int]]  # first and last
    arches: tuple[str, ...]
    glibc: tuple[int, int]  # at least


RUNTIMES = {
    # cp38-cp311; on Arm 2.14.0 wants glibc 2.34 and older boards get 2.13.0. With numpy 2 every Interpreter() fails.
    "tflite_runtime": Runtime(
        formats=("tflite",), requirements=("tflite-runtime>=2.13,<3", "numpy<2"),
        pythons=((3, 8), (3, 11)), arches=("x86_64", "aarch64", "armv7l"), glibc=(2, 17),
    ),
    "ai_edge_litert": Runtime(
        formats=("tflite",), requirements=("ai-edge-litert>=1.2,<3", "numpy<3"),
        pythons=((3, 9), (3, 14)), arches=("x86_64", "aarch64"), glibc=(2, 27),
    ),
    "onnxruntime": Runtime(
        formats=("onnx",), requirements=("onnxruntime>=1.16,<2", "numpy<3"),
        pythons=((3, 8), (3, 14)), arches=("x86_64", "aarch64"), glibc=(2, 17),
    ),
    # Sleeps as long as the model file says: a runtime of known speed, to check the measuring itself.
    "sleep": Runtime(formats=("sleep",), requirements=(), pythons=((3, 8), (3, 99)), arches=(), glibc=(0, 0)),
}  # fmt: skip


def why_not(name: str, machine: Machine) -> str | None:
    """Why the board can not have this runtime; None: it can."""
    runtime = RUNTIMES[name]
    if not runtime.requirements:
        return None
    python, (first, last) = python_version(machine), runtime.pythons
    if not first <= python <= last:
        return f"it exists for Python {_dotted(first)} to {_dotted(last)}, the board has {_dotted(python)}"
    if wheel_arch(machine) not in runtime.arches:
        return f"it exists for {', '.join(runtime.arches)}, the board's Python is {wheel_arch(machine)}"
    if machine.libc != "glibc":
        return f"it exists for glibc, the board has {machine.libc or 'an unknown libc'}"
    if glibc_version(machine) < runtime.glibc:
        return f"it needs glibc {_dotted(runtime.glibc)}, the board has {machine.libc_version}"
    return None


def possible(machine: Machine) -> tuple[str, ...]:
    """The runtimes that this board can have (without `sleep`, which only tests want)."""
    return tuple(name for name, runtime in RUNTIMES.items() if runtime.requirements and why_not(name, machine) is None)


def check(name: str, machine: Machine) -> None:
    """RuntimeUnavailable, naming those that the board can have."""
    reason = f"there is no runtime called {name}" if name not in RUNTIMES else why_not(name, machine)
    if reason is not None:
        can = ", ".join(possible(machine)) or "none"
        raise RuntimeUnavailable(
            f"this board can not have the runtime {name}: {reason}",
            hint=f"It can have: {can}. Name one of them in [measure] runtimes.",
        )


def wheels(name: str, machine: Machine) -> tuple[Path, ...]:
    """The wheel files of a runtime for this board, downloaded once and kept in the user's cache."""
    runtime = RUNTIMES[name]
    if not runtime.requirements:
        return ()
    options = [*_tag_options(machine), *requirements(runtime, machine)]
    folder = cache_folder() / "wheels" / hashlib.sha256(json.dumps(options).encode()).hexdigest()[:32]
    if not folder.exists():
        _download(name, options, folder)
    return tuple(sorted(folder.glob("*.whl")))


def install(session: Session, files: tuple[Path, ...]) -> tuple[str, int]:
    """Put wheels on the board as a site. Returns (site's sha256, bytes sent: 0 where it was there)."""
    if not files:
        return "", 0
    blobs = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    site = hashlib.sha256(json.dumps(sorted(blobs.items())).encode()).hexdigest()
    if site in session.have((), (site,)).sites:
        return site, 0
    there, sent = session.have(tuple(blobs.values()), ()).blobs, 0
    for path in files:
        if blobs[path.name] not in there:
            data = path.read_bytes()
            session.put(data, blobs[path.name])
            sent += len(data)
    session.unpack(site, tuple(sorted(blobs.items())))
    return site, sent


def requirements(runtime: Runtime, machine: Machine) -> tuple[str, ...]:
    """The package index has no numpy for 32-bit Arm: such a board must bring its own (apt-get install python3-numpy)."""
    own_numpy = wheel_arch(machine) == "armv7l"
    return tuple(each for each in runtime.requirements if not (own_numpy and each.startswith("numpy")))


def python_version(machine: Machine) -> tuple[int, int]:
    return _pair(machine.python)


def glibc_version(machine: Machine) -> tuple[int, int]:
    return _pair(machine.libc_version)


def wheel_arch(machine: Machine) -> str:
    """The wheel tag of the board's Python: a 64-bit kernel may carry a 32-bit system (Raspberry Pi OS)."""
    if machine.bits == 32:
        return {"aarch64": "armv7l", "x86_64": "i686"}.get(machine.arch, machine.arch)
    return WHEEL_ARCHES.get(machine.arch, machine.arch)


def _tag_options(machine: Machine) -> list[str]:
    """Pip implies no older tag from a newer one, so every one that fits is listed, newest first."""
    (major, minor), arch = glibc_version(machine), wheel_arch(machine)
    oldest = 5 if arch in {"x86_64", "i686"} else 17
    platforms = []
    for lower in range(min(minor, NEWEST_MINOR), oldest - 1, -1):
        platforms.append(f"manylinux_{major}_{lower}_{arch}")
        if (major, lower) in OLD_NAMES:
            platforms.append(f"{OLD_NAMES[major, lower]}_{arch}")
    version = "".join(map(str, python_version(machine)))
    options = ["--implementation", "cp", "--python-version", _dotted(python_version(machine))]
    for abi in (f"cp{version}", "abi3", "none"):
        options += ["--abi", abi]
    for platform in platforms:
        options += ["--platform", platform]
    return options


def _download(name: str, options: list[str], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(".download-*"):  # by a kill -9
        if not Path("/proc", left.name.split("-")[1]).exists():
            shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".download-{os.getpid()}-"))
    temporary = scratch / "tmp"
    temporary.mkdir()
    try:
        command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-input",
                   "--disable-pip-version-check", "--dest", str(scratch / "wheels"), *options]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False,
                env=os.environ | {"TMPDIR": str(temporary)},
            )  # fmt: skip
            said = done.stderr.strip()
        except subprocess.TimeoutExpired:
            done, said = None, f"no end after {DOWNLOAD_TIMEOUT_S} s"
        if done is None or done.returncode:
            last = (
                [line for line in said.splitlines() if line.startswith("ERROR")]
                or said.splitlines()[-1:]
                or ["it said nothing"]
            )
            raise WheelsUnavailable(
                f"the wheels of {name} for this board could not be downloaded: {last[-1]}",
                hint="This host (not the board) needs the package index once; after that the wheels come from "
                f"{folder.parent}. A host without internet can be given that folder.",
            )
        with contextlib.suppress(OSError):  # somebody else was quicker: theirs are as good
            (scratch / "wheels").rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _pair(version: str) -> tuple[int, int]:
    """The first two numbers; (0, 0) for what is no version, since it comes from the board."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
