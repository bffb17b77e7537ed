"""The runtimes that a board can have, and how it gets them: wheels for its Python, libc and CPU, downloaded here.

The board needs neither internet nor pip: it receives the wheel files as blobs and unpacks them itself.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from device_agent.wire import Machine
from targets import wheel_cache
from targets.errors import RuntimeUnavailable
from targets.session import Session
from targets.wheel_cache import Wheel
from targets.wheel_tags import described, dotted, fits, glibc_version, pip_options, python_version, wheel_arch


class Exists(msgspec.Struct, frozen=True, kw_only=True):
    """What wheels of a runtime (and of its numpy) exist for, and the version that is used there."""

    arches: tuple[str, ...]
    pythons: tuple[tuple[int, int], tuple[int, int]]  # first and last
    glibc: tuple[int, int]  # at least
    version: str


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """How a board gets a runtime: by wheels from here, or from its own system."""

    formats: tuple[str, ...]  # of model files that it runs
    distribution: str = ""  # installed without its requirements: to run a model, numpy is enough
    numpy_1: str = ""  # its versions that work only with numpy 1, as a version specifier: "<1.19"
    exists: tuple[Exists, ...] = ()  # the first that fits the board is used
    # the distribution that the system's Python must have: the package index has no wheels of it
    system: str = ""
    tried_on_hardware: bool = True
    only_named: bool = False  # only used if a plan names it or asks for all
    for_tests: bool = False  # not part of "all" either


PC, ARM = ("x86_64",), ("aarch64", "armv7l")
BOTH = ("x86_64", "aarch64")
# Where wheels exist, and the newest of each: from the package index on 2026-11-29, for each Python, CPU and glibc. Versions are exact,
# so that two hosts measure with the same one whenever they download it. The best for a format comes first.
RUNTIMES = {
    "ai_edge_litert": Runtime(
        formats=("tflite",), distribution="ai-edge-litert", exists=(
            Exists(arches=BOTH, pythons=((3, 10), (3, 14)), glibc=(2, 27), version="2.3.0"),
            Exists(arches=BOTH, pythons=((3, 9), (3, 9)), glibc=(2, 27), version="2.1.0"),
        ),
    ),
    # With numpy 2 every Interpreter() fails.
    "tflite_runtime": Runtime(
        formats=("tflite",), distribution="tflite-runtime", numpy_1=">=0", exists=(
            Exists(arches=PC, pythons=((3, 8), (3, 11)), glibc=(2, 17), version="2.14.0"),
            Exists(arches=ARM, pythons=((3, 8), (3, 11)), glibc=(2, 34), version="2.14.0"),
            Exists(arches=ARM, pythons=((3, 8), (3, 10)), glibc=(2, 17), version="2.13.0"),
        ),
    ),
    # Before 1.19 it fails with numpy 2.
    "onnxruntime": Runtime(
        formats=("onnx",), distribution="onnxruntime", numpy_1="<1.19", exists=(
            Exists(arches=BOTH, pythons=((3, 11), (3, 14)), glibc=(2, 28), version="1.32.0"),
            Exists(arches=BOTH, pythons=((3, 11), (3, 14)), glibc=(2, 27), version="1.28.0"),
            Exists(arches=BOTH, pythons=((3, 10), (3, 10)), glibc=(2, 27), version="1.23.2"),
            Exists(arches=BOTH, pythons=((3, 8), (3, 9)), glibc=(2, 27), version="1.19.2"),
        ),
    ),
    # For a Jetson's GPU. NVIDIA builds them for each JetPack, with the system's CUDA and TensorRT.
    "onnxruntime_cuda": Runtime(formats=("onnx",), system="onnxruntime-gpu", tried_on_hardware=False, only_named=True),
    "onnxruntime_tensorrt": Runtime(formats=("onnx",), system="onnxruntime-gpu", tried_on_hardware=False, only_named=True),
    # Sleeps as long as the model file says: a runtime of known speed, to check the measurement itself.
    "sleep": Runtime(formats=("sleep",), only_named=True, for_tests=True),
}  # fmt: skip
# The newest numpy 1, and the newest numpy, for each Python from that version on.
NUMPY_1 = {(3, 8): "1.24.4", (3, 9): "1.26.4"}
NUMPY = {(3, 8): "1.24.4", (3, 9): "2.0.2", (3, 10): "2.2.6", (3, 11): "2.4.6"}

Chosen = str | Path
"""A plan's own choice for a runtime, in place of the table: a version, or a wheel file."""


def why_not(name: str, machine: Machine) -> str | None:
    """Return why the board cannot have this runtime; None: it can."""
    runtime = RUNTIMES[name]
    if runtime.system and not has_package(runtime.system, machine):
        return f"it needs the system's own {runtime.system}, which the board's Python does not have"
    if not runtime.distribution:
        return None
    python, arch = python_version(machine), wheel_arch(machine)
    of_python = [each for each in runtime.exists if each.pythons[0] <= python <= each.pythons[1]]
    if not of_python:
        first, last = min(each.pythons[0] for each in runtime.exists), max(each.pythons[1] for each in runtime.exists)
        return f"it exists for Python {dotted(first)} to {dotted(last)}, the board has {dotted(python)}"
    of_arch = [each for each in of_python if arch in each.arches]
    if not of_arch:
        arches = sorted({each for exists in of_python for each in exists.arches})
        return f"it exists for {', '.join(arches)}, the board's Python is {arch}"
    if machine.libc != "glibc":
        return f"it exists for glibc, the board has {machine.libc or 'an unknown libc'}"
    glibc = min(each.glibc for each in of_arch)
    if glibc_version(machine) < glibc:
        return f"it needs glibc {dotted(glibc)} for Python {dotted(python)}, the board has {machine.libc_version}"
    if _brings_own_numpy(machine) and not has_package("numpy", machine):
        return "it needs numpy, which has no wheels for this CPU: apt-get install python3-numpy on the board"
    return None


def has_package(distribution: str, machine: Machine) -> bool:
    """Whether the board's system Python has it."""
    return any(each.partition(" ")[0] == distribution for each in machine.packages)


def possible(machine: Machine) -> tuple[str, ...]:
    """Return the runtimes that this board can have (without `sleep`, which is for tests)."""
    return tuple(name for name, runtime in RUNTIMES.items() if not runtime.for_tests and why_not(name, machine) is None)


def best(families: set[str], machine: Machine) -> tuple[str, ...]:
    """Return the best runtime that this board can have for each family of files (tflite, onnx), if there is one."""
    can = [name for name in possible(machine) if not RUNTIMES[name].only_named]
    served = {family: next((name for name in can if family in RUNTIMES[name].formats), None) for family in families}
    return tuple(name for name in can if name in served.values())


def check(name: str, machine: Machine) -> None:
    """RuntimeUnavailable if the board cannot have this runtime; it names those that it can have."""
    reason = f"there is no runtime called {name}" if name not in RUNTIMES else why_not(name, machine)
    if reason is not None:
        can = ", ".join(possible(machine)) or "none"
        raise RuntimeUnavailable(
            f"this board cannot have the runtime {name}: {reason}",
            hint=f"It can have: {can}. Name one of them in [measure] runtimes.",
        )


def wheels(
    name: str, machine: Machine, chosen: Chosen | None = None, say: Callable[[str], None] | None = None
) -> tuple[Wheel, ...]:
    """Return the wheels of a runtime for this board; () if it needs none. `chosen`: in place of the table's version.

    WheelsUnavailable; RuntimeUnavailable for a wheel file that is not for this board.
    """
    runtime = RUNTIMES[name]
    if not runtime.distribution:
        return ()
    if not isinstance(chosen, Path):
        return wheel_cache.wheels(name, pip_options(machine), requirements(runtime, machine, chosen), say)
    if not fits(chosen.name, machine):
        raise RuntimeUnavailable(
            f"{chosen.name} is not for this board, which has {described(machine)}",
            hint="The end of a wheel's name shows its Python, system and processor.",
        )
    numpy = requirements(runtime, machine, chosen.name.split("-")[1])[1:]
    return (wheel_cache.of_file(chosen), *(wheel_cache.wheels(name, pip_options(machine), numpy, say) if numpy else ()))


def install(session: Session, files: tuple[Wheel, ...]) -> tuple[tuple[str, ...], int]:
    """Put wheels on the board, each as a site. Returns (sites for wire.Launch, bytes sent: 0 if all were there)."""
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
    """Return the version of the runtime in its wheel files; None: it needs none, or is the system's own."""
    distribution = RUNTIMES[name].distribution.replace("-", "_")
    versions = (wheel.split("-")[1] for wheel in wheel_names if distribution and wheel.startswith(distribution + "-"))
    return next(versions, None)


def requirements(runtime: Runtime, machine: Machine, version: str | None = None) -> tuple[str, ...]:
    """Return what to download for this board, each in one version, without a numpy that the board must have itself."""
    from packaging.specifiers import SpecifierSet

    version = version or _newest(runtime, machine).version
    needed = (f"{runtime.distribution}=={version}",)
    if _brings_own_numpy(machine):
        return needed
    old = runtime.numpy_1 and SpecifierSet(runtime.numpy_1, prereleases=True).contains(version)
    newest = {first: each for first, each in (NUMPY_1 if old else NUMPY).items() if first <= python_version(machine)}
    return (*needed, f"numpy=={newest[max(newest)]}") if newest else needed


def _newest(runtime: Runtime, machine: Machine) -> Exists:
    return next(each for each in runtime.exists if _is_for(each, machine))


def _is_for(exists: Exists, machine: Machine) -> bool:
    first, last = exists.pythons
    return (
        first <= python_version(machine) <= last
        and wheel_arch(machine) in exists.arches
        and glibc_version(machine) >= exists.glibc
    )


def _brings_own_numpy(machine: Machine) -> bool:
    """Whether the board must have its own numpy: the package index has none for 32-bit Arm."""
    return wheel_arch(machine) == "armv7l"
