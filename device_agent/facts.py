"""Read what the kernel tells in /proc and /sys. What is absent, unreadable or not a number is None: boards differ.

EDGEPRESS_FS_ROOT names another root, so that recorded trees of boards can be read in tests.
"""

import glob
import os
import re
from typing import List, Optional


def root() -> str:
    return os.environ.get("EDGEPRESS_FS_ROOT", "/")


def text(path: str) -> Optional[str]:
    """Of a file below the root, without the white space around it and the NUL that ends a device-tree string."""
    try:
        with open(os.path.join(root(), path), encoding="utf-8", errors="replace") as file:
            return file.read().strip(" \t\r\n\0")
    except OSError:  # absent, or a sensor that does not answer (EIO, EAGAIN)
        return None


def number(path: str) -> Optional[int]:
    content = text(path)
    return int(content) if content is not None and re.fullmatch("-?[0-9]+", content) else None


def numbers(pattern: str) -> List[int]:
    """Of all files that match and hold a number."""
    return [value for value in map(number, paths(pattern)) if value is not None]


def paths(pattern: str) -> List[str]:
    """The matching paths, relative to the root, sorted."""
    base = root()
    return sorted(os.path.relpath(path, base) for path in glob.glob(os.path.join(glob.escape(base), pattern)))


def field(path: str, pattern: str) -> Optional[str]:
    """The first group of `pattern` (^ and $ match at lines) in the file."""
    match = re.search(pattern, text(path) or "", re.MULTILINE)
    return match.group(1).strip() if match else None


def kib(path: str, name: str) -> Optional[int]:
    """A line `Name:  123 kB` of /proc/meminfo or /proc/self/status, in bytes."""
    value = field(path, "^" + name + r":\s+([0-9]+) kB$")
    return int(value) * 1024 if value is not None else None


def governor() -> Optional[str]:
    """The frequency governor; several, joined with +, where groups of cores have different ones."""
    found = {text(path) for path in paths("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")}
    return "+".join(sorted(name for name in found if name)) or None
