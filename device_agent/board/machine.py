"""What this board is: read once, for Hello."""

from __future__ import annotations

import glob
import os
import re
import struct
import sys

from device_agent.board import procfs
from device_agent.wire import Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

# Those that a runtime may need from the system, by normalized name (PEP 503).
PACKAGES = ("numpy", "onnxruntime-gpu", "tensorrt")


def describe() -> Machine:
    """Describe the board. It must be quick, since the host waits for it: a few milliseconds. Only a Jetson runs a program, for its power mode."""
    uname = os.uname()
    libc, libc_version = _libc()
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    return Machine(
        model=_model(),
        cpu=_cpu(),
        cpu_count=len(cpus),
        cpus=cpus,
        arch=uname.machine,
        bits=struct.calcsize("P") * 8,
        kernel=uname.release,
        os=_os(),
        python=".".join(map(str, sys.version_info[:3])),
        libc=libc,
        libc_version=libc_version,
        memory_bytes=memory_bytes(),
        cpu_max_khz=max(procfs.numbers(procfs.of_cores("cpuinfo_max_freq")), default=None),
        governor=procfs.governor(),
        release=_release(),
        power_mode=power_mode(),
        emulator=_emulator(uname.machine),
        packages=_packages(),
    )


def _model() -> str:
    """Return the device tree's model on ARM boards, maker and product from DMI on PCs."""
    names = [procfs.text("sys/class/dmi/id/" + name) for name in ("sys_vendor", "product_name")]
    return procfs.text("proc/device-tree/model") or " ".join(name for name in names if name)


def _cpu() -> str:
    """Return the device tree's core types: /proc/cpuinfo has no name on 64-bit ARM, and "ARMv7 Processor" on 32-bit."""
    cores = {
        (procfs.text(path) or "").split("\0")[0].split(",")[-1]
        for path in procfs.paths("proc/device-tree/cpus/cpu@*/compatible")
    }
    name = "+".join(sorted(core for core in cores if core)) or procfs.field("proc/cpuinfo", r"^model name\s*:(.*)$")
    if name:
        return name
    ids = [procfs.field("proc/cpuinfo", rf"^CPU {part}\s*:(.*)$") for part in ("implementer", "part")]
    return f"implementer {ids[0]} part {ids[1]}" if all(ids) else ""


def _os() -> str:
    for path in ("etc/os-release", "usr/lib/os-release"):  # os-release(5): in this order
        name = procfs.field(path, "^PRETTY_NAME=(.*)$")
        if name:
            return name.strip("\"'")
    return ""


def _libc() -> Tuple[str, str]:
    """Return the libc of this Python: ("glibc", "2.36") or ("musl", "1.2.4"). Wheels are chosen by it."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")  # "glibc 2.36"
    except (ValueError, OSError):  # the name is specific to glibc
        name = ""
    if name:
        return name, version
    for loader in glob.glob("/lib/ld-musl-*.so.1"):
        import subprocess

        # musl has no call that returns its version; its loader prints it (PEP 656)
        printed = subprocess.run([loader], stderr=subprocess.PIPE, timeout=5, check=False).stderr
        match = re.search(r"^Version (\S+)", printed.decode(errors="replace"), re.MULTILINE)
        return "musl", match.group(1) if match else ""
    return "", ""


def memory_bytes() -> int:
    """Return the board's memory, or a container's limit: a cgroup's limit holds for all groups below it (cgroups(7))."""
    limits = [procfs.kib("proc/meminfo", "MemTotal")]
    groups = re.findall(r"^[0-9]+:([^:]*):/(.*)$", procfs.text("proc/self/cgroup") or "", re.MULTILINE)
    for controllers, path in groups:
        if controllers == "":
            folder, name = "sys/fs/cgroup", "memory.max"  # version 2
        elif controllers == "memory":
            folder, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"  # version 1
        else:
            continue
        limits.append(procfs.number(f"{folder}/{name}"))
        for part in path.split("/"):
            folder = os.path.join(folder, part)
            limits.append(procfs.number(f"{folder}/{name}"))
    return min((limit for limit in limits if limit), default=0)


def is_jetson() -> bool:
    return "nvidia,tegra" in (procfs.text("proc/device-tree/compatible") or "")


def _release() -> Optional[str]:
    """Return the release of NVIDIA's Jetson Linux, which implies the JetPack: "R36.4.3"."""
    if not is_jetson():
        return None
    release = procfs.text("etc/nv_tegra_release") or ""
    match = re.match(r"# R([0-9]+) \(release\), REVISION: ([0-9.]+)", release)
    if match:
        return f"R{match.group(1)}.{match.group(2)}"
    version = procfs.field("var/lib/dpkg/status", r"^Package: nvidia-l4t-core\n(?:.+\n)*?Version: ([0-9.]+)")
    return f"R{version}" if version else None


def power_mode() -> Optional[str]:
    """Return the power mode of a Jetson by nvpmodel's name, "15W"."""
    nvpmodel = procfs.program("nvpmodel") if is_jetson() else None
    if nvpmodel is None:
        return None
    command = (nvpmodel, "-q")
    match = re.search(r"^NV Power Mode: *(\S+)$", procfs.answers([command]).get(command, ""), re.MULTILINE)
    return match.group(1) if match else None


def _emulator(arch: str) -> Optional[str]:
    """Return the emulator. QEMU is recognized by its firmware device (as systemd-detect-virt does), or by DMI on a PC. With KVM
    nothing is emulated, but only a PC shows that, by its clock: a virtual machine on Arm is called emulated, so nothing is claimed
    of it. An Arm program that sees the CPU of a PC runs in QEMU's user mode.
    """
    firmware = [procfs.text(path) or "" for path in procfs.paths("proc/device-tree/fw-cfg@*/compatible")]
    clocks = procfs.text("sys/devices/system/clocksource/clocksource0/available_clocksource") or ""
    is_qemu = "qemu,fw-cfg-mmio" in firmware or procfs.text("sys/class/dmi/id/sys_vendor") == "QEMU"
    is_user_mode = arch not in ("x86_64", "i686") and procfs.field("proc/cpuinfo", r"^vendor_id\s*:(.*)$") is not None
    return "QEMU" if (is_qemu and "kvm-clock" not in clocks.split()) or is_user_mode else None


def _package_folders() -> List[str]:
    """Return where the runner's Python finds packages. Not sys.path: the agent itself runs without them (-S)."""
    import site

    folders = site.getsitepackages([sys.base_prefix, sys.base_exec_prefix])
    environment = os.path.dirname(os.path.dirname(sys.executable))
    try:
        with open(os.path.join(environment, "pyvenv.cfg"), encoding="utf-8") as file:
            config = file.read()
    except OSError:  # not a virtual environment (PEP 405)
        return folders
    own = os.path.join(environment, "lib", "python%d.%d" % sys.version_info[:2], "site-packages")
    shared = re.search(r"^include-system-site-packages\s*=\s*true", config, re.MULTILINE | re.IGNORECASE)
    return [own, *folders] if shared else [own]


def _packages() -> Tuple[str, ...]:
    """Find PACKAGES by their metadata folders (PEP 376): importing importlib.metadata alone takes 30 ms."""
    found = {}
    for folder in reversed(_package_folders()):  # the first one found is imported
        try:
            names = os.listdir(folder)
        except OSError:  # some need not exist
            continue
        for name in names:
            match = re.fullmatch(r"(.+?)-([0-9][^-]*)(?:-py[0-9.]+)?\.(?:dist|egg)-info", name)
            distribution = re.sub("[-_.]+", "-", match.group(1)).lower() if match else ""
            if match and distribution in PACKAGES:
                found[distribution] = match.group(2)
    return tuple(f"{distribution} {found[distribution]}" for distribution in sorted(found))
