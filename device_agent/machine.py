"""What this board is: asked once, for Hello."""

import glob
import os
import re
import struct
import subprocess
import sys
from typing import Tuple

from device_agent import facts
from device_agent.wire import Machine


def describe() -> Machine:
    uname = os.uname()
    libc, libc_version = _libc()
    return Machine(
        model=_model(),
        cpu=_cpu(),
        cpu_count=len(os.sched_getaffinity(0)),
        arch=uname.machine,
        bits=struct.calcsize("P") * 8,
        kernel=uname.release,
        os=_os(),
        python=".".join(map(str, sys.version_info[:3])),
        libc=libc,
        libc_version=libc_version,
        memory_bytes=facts.kib("proc/meminfo", "MemTotal") or 0,
        cpu_max_khz=max(facts.numbers("sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq"), default=None),
        governor=facts.governor(),
        release=None,
        power_mode=None,
        emulator=None,
        packages=(),
    )


def _model() -> str:
    """The device tree on ARM boards; the maker and product of DMI on PCs."""
    names = [facts.text("sys/class/dmi/id/" + name) for name in ("sys_vendor", "product_name")]
    return facts.text("proc/device-tree/model") or " ".join(name for name in names if name)


def _cpu() -> str:
    """The device tree's core types: /proc/cpuinfo has no name on 64-bit ARM, and "ARMv7 Processor" on 32-bit ARM."""
    cores = {
        (facts.text(path) or "").split("\0")[0].split(",")[-1]
        for path in facts.paths("proc/device-tree/cpus/cpu@*/compatible")
    }
    name = "+".join(sorted(core for core in cores if core)) or facts.field("proc/cpuinfo", r"^model name\s*:(.*)$")
    if name:
        return name
    ids = [facts.field("proc/cpuinfo", rf"^CPU {part}\s*:(.*)$") for part in ("implementer", "part")]
    return f"implementer {ids[0]} part {ids[1]}" if all(ids) else ""


def _os() -> str:
    for path in ("etc/os-release", "usr/lib/os-release"):  # os-release(5): in this order
        name = facts.field(path, "^PRETTY_NAME=(.*)$")
        if name:
            return name.strip("\"'")
    return ""


def _libc() -> Tuple[str, str]:
    """Of this Python: ("glibc", "2.36") or ("musl", "1.2.4"). Wheels are chosen by it."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")  # "glibc 2.36"
    except (ValueError, OSError):  # the name is glibc's own
        name = ""
    if name:
        return name, version
    for loader in glob.glob("/lib/ld-musl-*.so.1"):
        # musl has no call that tells its version; its loader prints it (PEP 656)
        told = subprocess.run([loader], stderr=subprocess.PIPE, timeout=5, check=False).stderr.decode(errors="replace")
        match = re.search(r"^Version (\S+)", told, re.MULTILINE)
        return "musl", match.group(1) if match else ""
    return "", ""
