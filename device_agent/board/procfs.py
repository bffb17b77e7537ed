"""Read /proc and /sys. What is absent, unreadable or not a number is None: boards differ.

EDGEPRESS_FS_ROOT names another root, so that recorded trees of boards can be read in tests.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Sequence, Set, Tuple

LIMIT_S = 2.0  # the slowest common sensor, a DS18B20, takes 0.75 s (its data sheet, at 12 bits)
GRACE_S = 0.1
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"  # often not on PATH without a login shell; nvpmodel is there
_silent: Set[Tuple[str, ...]] = set()  # commands that did not end in time


def root() -> str:
    return os.environ.get("EDGEPRESS_FS_ROOT", "/")


def text(path: str) -> Optional[str]:
    """Return the text of a file below the root, without surrounding white space and the NUL of a device-tree string."""
    try:
        with open(os.path.join(root(), path), encoding="utf-8", errors="replace") as file:
            return file.read().strip(" \t\r\n\0")
    except OSError:  # absent, or the kernel cannot read it
        return None


def number(path: str) -> Optional[int]:
    return _integer(text(path))


def numbers(files: Sequence[str]) -> List[int]:
    """Return the numbers in those files that hold one."""
    return [value for value in map(number, files) if value is not None]


def paths(pattern: str) -> List[str]:
    """Return the matching paths, relative to the root, sorted."""
    base = root()
    return sorted(os.path.relpath(path, base) for path in glob.glob(os.path.join(glob.escape(base), pattern)))


def field(path: str, pattern: str) -> Optional[str]:
    """Return the first group of `pattern` (^ and $ match at lines) in the file."""
    match = re.search(pattern, text(path) or "", re.MULTILINE)
    return match.group(1).strip() if match else None


def kib(path: str, name: str) -> Optional[int]:
    """Return the value of a line `Name:  123 kB` of /proc/meminfo or /proc/self/status, in bytes."""
    return kib_in(text(path) or "", name)


def kib_in(content: str, name: str) -> Optional[int]:
    """The same, in a text that was read before."""
    match = re.search("^" + name + r":\s+([0-9]{1,15}) kB$", content, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def of_cores(name: str) -> List[str]:
    """Return the paths of this file in each core's cpufreq. Cores that are off are left out: their values are stale."""
    cores = [path for path in paths("sys/devices/system/cpu/cpu[0-9]*") if text(path + "/online") != "0"]
    return [f"{core}/cpufreq/{name}" for core in cores]


def governor() -> Optional[str]:
    """Return the frequency governor; several are joined with + if groups of cores differ."""
    found = set(map(text, of_cores("scaling_governor")))
    return "+".join(sorted(name for name in found if name)) or None


def sensors(files: Sequence[str]) -> Dict[str, int]:
    """Return the numbers in these sensor files, without those that fail or do not answer within LIMIT_S."""
    cat = program("cat") or "/bin/cat"
    commands: Dict[Tuple[str, ...], str] = {(cat, os.path.join(root(), path)): path for path in files}
    values = {commands[command]: _integer(output.strip()) for command, output in answers(list(commands)).items()}
    return {path: value for path, value in values.items() if value is not None}


def program(name: str) -> Optional[str]:
    """Return the path of a program on the board."""
    import shutil  # here: with its compressions it would delay the first answer by 3 ms

    return shutil.which(name) or shutil.which(name, path=SYSTEM_FOLDERS)


def answers(commands: Sequence[Tuple[str, ...]]) -> Dict[Tuple[str, ...], str]:
    """Return what these programs print, all started at once; without those that cannot be started or do not end within LIMIT_S.

    Absent or hanging hardware can block its reader in the kernel, out of reach of SIGKILL. So this process reads nothing
    itself, and abandons a program that blocks: it holds nothing of ours, and is not started again.
    """
    import subprocess  # here: it would delay the first answer

    started = {}
    for command in commands:
        if command not in _silent:
            try:
                started[command] = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            except OSError:
                continue
    outputs, deadline = {}, time.monotonic() + LIMIT_S
    for command, process in started.items():
        try:
            output, _ = process.communicate(timeout=max(GRACE_S, deadline - time.monotonic()))
            outputs[command] = output.decode(errors="replace")
        except subprocess.TimeoutExpired:
            _silent.add(command)
            process.kill()
            assert process.stdout is not None
            process.stdout.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
    return outputs


def _integer(content: Optional[str]) -> Optional[int]:
    return int(content) if content is not None and re.fullmatch("-?[0-9]{1,18}", content) else None
