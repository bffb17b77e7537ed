"""Which wheels fit a board: the tags of its Python, libc and processor in a wheel's name."""

import re

from device_agent.wire import Machine

NEWEST_MINOR = 99  # of glibc 2: a board's claim must not make a million options
WHEEL_ARCHES = {"x86_64": "x86_64", "aarch64": "aarch64", "armv7l": "armv7l", "armv6l": "armv6l"}
# manylinux wheels exist from glibc 2.5 (x86) and 2.17 (Arm) on: PEP 513, 571, 599, 600.
OLD_NAMES = {(2, 5): "manylinux1", (2, 12): "manylinux2010", (2, 17): "manylinux2014"}


def python_version(machine: Machine) -> tuple[int, int]:
    return _pair(machine.python)


def glibc_version(machine: Machine) -> tuple[int, int]:
    return _pair(machine.libc_version)


def wheel_arch(machine: Machine) -> str:
    """Return the wheel tag of the board's Python: a 64-bit kernel may run a 32-bit system (Raspberry Pi OS)."""
    if machine.bits == 32:
        return {"aarch64": "armv7l", "x86_64": "i686"}.get(machine.arch, machine.arch)
    return WHEEL_ARCHES.get(machine.arch, machine.arch)


def pip_options(machine: Machine) -> list[str]:
    """Return pip's options. Pip does not derive older tags from a newer one, so all that fit are listed, newest first."""
    version = "".join(map(str, python_version(machine)))
    options = ["--implementation", "cp", "--python-version", dotted(python_version(machine))]
    for abi in (f"cp{version}", "abi3", "none"):
        options += ["--abi", abi]
    for platform in _platforms(machine):
        options += ["--platform", platform]
    return options


def fits(wheel: str, machine: Machine) -> bool:
    """Whether a wheel file of this name can be installed on the board; also one built there, for `linux_aarch64`."""
    from packaging.tags import compatible_tags, cpython_tags
    from packaging.utils import parse_wheel_filename

    version = python_version(machine)
    abi = f"cp{version[0]}{version[1]}"
    platforms = [*_platforms(machine), f"linux_{wheel_arch(machine)}"]
    known = {*cpython_tags(version, [abi], platforms), *compatible_tags(version, abi, platforms)}
    return not known.isdisjoint(parse_wheel_filename(wheel)[3])


def described(machine: Machine) -> str:
    """Return what a wheel must be for, for messages."""
    libc = f"{machine.libc or 'an unknown libc'} {machine.libc_version}".strip()
    return f"Python {dotted(python_version(machine))}, {wheel_arch(machine)}, {libc}"


def dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _platforms(machine: Machine) -> list[str]:
    if machine.libc != "glibc":
        return []
    (major, minor), arch = glibc_version(machine), wheel_arch(machine)
    oldest = 5 if arch in {"x86_64", "i686"} else 17
    platforms = []
    for lower in range(min(minor, NEWEST_MINOR), oldest - 1, -1):
        platforms.append(f"manylinux_{major}_{lower}_{arch}")
        if (major, lower) in OLD_NAMES:
            platforms.append(f"{OLD_NAMES[major, lower]}_{arch}")
    return platforms


def _pair(version: str) -> tuple[int, int]:
    """Return the first two numbers of a version; (0, 0) if it is not one, since it comes from the board."""
    match = re.match(r"([0-9]{1,4})\.([0-9]{1,4})", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)
