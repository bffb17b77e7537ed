"""The runtimes that a board can have, and how they get there: wheels for its Python, libc and CPU, downloaded here.

The board needs no internet and no pip: it gets the wheel files as blobs and unpacks them itself.
"""

import re
from collections.abc import Callable, Sequence

import msgspec

from device_agent.wire import Machine
from targets import wheel_cache
from targets.errors import RuntimeUnavailable
from targets.session import Session
from targets.wheel_cache import Wheel

NEWEST_MINOR = 99  # of glibc 2: what a board says of itself must not make a million options
WHEEL_ARCHES = {"x86_64": "x86_64", "aarch64": "aarch64", "armv7l": "armv7l", "armv6l": "armv6l"}
# manylinux wheels exist from glibc 2.5 (x86) and 2.17 (Arm) on: PEP 513, 571, 599, 600.
OLD_NAMES = {(2, 5): "manylinux1", (2, 12): "manylinux2010", (2, 17): "manylinux2014"}


class Exists(msgspec.Struct, frozen=True, kw_only=True):
    """For what there are wheels of a runtime (and of its numpy)."""

    arches: tuple[str, ...]
    pythons: tuple[tuple[int, int], tuple[int, int]]  # first and last
    glibc: tuple[int, int]  # at least


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """How a board gets a runtime: by wheels from here, or it has it already."""

    formats: tuple[str, ...]  # of the model files that it runs
    requirements: tuple[str, ...] = ()  # installed without their own requirements: to run a model they need no more
    exists: tuple[Exists, ...] = ()
    # the distribution that the system's own Python must have: nobody offers wheels for the package index
    system: str = ""
    tried_on_hardware: bool = True
    for_tests: bool = False  # never chosen for a plan that does not name it


# Where wheels exist: the package index, asked on 2026-11-24 for each Python, CPU and glibc.
RUNTIMES = {
    # On Arm 2.14.0 wants glibc 2.34; older boards get 2.13.0, which there is not for Python 3.11. With numpy 2 every
    # Interpreter() fails.
    "tflite_runtime": Runtime(
        formats=("tflite",), requirements=("tflite-runtime>=2.13,<3", "numpy<2"), exists=(
            Exists(arches=("x86_64", "aarch64", "armv7l"), pythons=((3, 8), (3, 10)), glibc=(2, 17)),
            Exists(arches=("x86_64",), pythons=((3, 11), (3, 11)), glibc=(2, 17)),
            Exists(arches=("aarch64", "armv7l"), pythons=((3, 11), (3, 11)), glibc=(2, 34)),
        ),
    ),
    # Python 3.9 gets 2.1.0.
    "ai_edge_litert": Runtime(
        formats=("tflite",), requirements=("ai-edge-litert>=2.1,<3", "numpy<3"),
        exists=(Exists(arches=("x86_64", "aarch64"), pythons=((3, 9), (3, 14)), glibc=(2, 27)),),
    ),
    # Python 3.8 and 3.9 get 1.19.2, 3.10 gets 1.23.2; before 1.19 it fails with numpy 2.
    "onnxruntime": Runtime(
        formats=("onnx",), requirements=("onnxruntime>=1.19,<2", "numpy<3"),
        exists=(Exists(arches=("x86_64", "aarch64"), pythons=((3, 8), (3, 14)), glibc=(2, 27)),),
    ),
    # On a Jetson's GPU. NVIDIA builds them for each JetPack, with its CUDA and TensorRT, which come with the system.
    "onnxruntime_cuda": Runtime(formats=("onnx",), system="onnxruntime-gpu", tried_on_hardware=False),
    "onnxruntime_tensorrt": Runtime(formats=("onnx",), system="onnxruntime-gpu", tried_on_hardware=False),
    # Sleeps as long as the model file says: a runtime of known speed, to check the measuring itself.
    "sleep": Runtime(formats=("sleep",), for_tests=True),
}  # fmt: skip


def why_not(name: str, machine: Machine) -> str | None:
    """Why the board can not have this runtime; None: it can."""
    runtime = RUNTIMES[name]
    if runtime.system and not has_package(runtime.system, machine):
        return f"it is the system's own {runtime.system}, and the board's Python has none"
    if not runtime.requirements:
        return None
    python, arch = python_version(machine), wheel_arch(machine)
    of_python = [each for each in runtime.exists if each.pythons[0] <= python <= each.pythons[1]]
    if not of_python:
        first, last = min(each.pythons[0] for each in runtime.exists), max(each.pythons[1] for each in runtime.exists)
        return f"it exists for Python {_dotted(first)} to {_dotted(last)}, the board has {_dotted(python)}"
    of_arch = [each for each in of_python if arch in each.arches]
    if not of_arch:
        arches = sorted({each for exists in of_python for each in exists.arches})
        return f"it exists for {', '.join(arches)}, the board's Python is {arch}"
    if machine.libc != "glibc":
        return f"it exists for glibc, the board has {machine.libc or 'an unknown libc'}"
    glibc = min(each.glibc for each in of_arch)
    if glibc_version(machine) < glibc:
        return f"it needs glibc {_dotted(glibc)} for Python {_dotted(python)}, the board has {machine.libc_version}"
    if _brings_own_numpy(machine) and not has_package("numpy", machine):
        return "it needs numpy, of which there are no wheels for this CPU: apt-get install python3-numpy on the board"
    return None


def has_package(distribution: str, machine: Machine) -> bool:
    """Whether the board's system Python has it."""
    return any(each.partition(" ")[0] == distribution for each in machine.packages)


def possible(machine: Machine) -> tuple[str, ...]:
    """The runtimes that this board can have (without `sleep`, which only tests want)."""
    return tuple(name for name, runtime in RUNTIMES.items() if not runtime.for_tests and why_not(name, machine) is None)


def check(name: str, machine: Machine) -> None:
    """RuntimeUnavailable, naming those that the board can have."""
    reason = f"there is no runtime called {name}" if name not in RUNTIMES else why_not(name, machine)
    if reason is not None:
        can = ", ".join(possible(machine)) or "none"
        raise RuntimeUnavailable(
            f"this board can not have the runtime {name}: {reason}",
            hint=f"It can have: {can}. Name one of them in [measure] runtimes.",
        )


def wheels(name: str, machine: Machine, say: Callable[[str], None] | None = None) -> tuple[Wheel, ...]:
    """The wheels of a runtime for this board; () for one that needs none. WheelsUnavailable."""
    runtime = RUNTIMES[name]
    if not runtime.requirements:
        return ()
    return wheel_cache.wheels(name, (*_tag_options(machine), *requirements(runtime, machine)), say)


def install(session: Session, files: tuple[Wheel, ...]) -> tuple[tuple[str, ...], int]:
    """Put wheels on the board, each as a site. Returns (sites for wire.Launch, bytes sent: 0 where all were there)."""
    sites = tuple(each.sha256 for each in files)
    if not sites:
        return (), 0
    there, sent = session.have(sites, sites), 0
    for each in files:
        if each.sha256 in there.sites:
            continue
        if each.sha256 not in there.blobs:
            data = each.path.read_bytes()
            session.put(data, each.sha256)
            sent += len(data)
        session.unpack(each.path.name, each.sha256)
    return sites, sent


def version_of(name: str, wheel_names: Sequence[str]) -> str | None:
    """The version of the runtime itself among the files that were sent for it; None: it needs none, or is the system's own."""
    for requirement in RUNTIMES[name].requirements[:1]:
        distribution = re.split("[<>=!~]", requirement)[0].replace("-", "_")
        for wheel in wheel_names:
            if wheel.startswith(distribution + "-"):
                return wheel.split("-")[1]
    return None


def requirements(runtime: Runtime, machine: Machine) -> tuple[str, ...]:
    """What is to be downloaded for this board: all but a numpy that it must bring itself."""
    return tuple(each for each in runtime.requirements if not (_brings_own_numpy(machine) and each.startswith("numpy")))


def _brings_own_numpy(machine: Machine) -> bool:
    """The package index has no numpy for 32-bit Arm."""
    return wheel_arch(machine) == "armv7l"


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


def _pair(version: str) -> tuple[int, int]:
    """The first two numbers; (0, 0) for what is no version, since it comes from the board."""
    match = re.match(r"([0-9]{1,4})\.([0-9]{1,4})", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
