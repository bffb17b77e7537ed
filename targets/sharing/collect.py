"""Runs on the board once, and prints what the agent reads there: files of /proc and /sys, output of programs, and the names that must
not leave the board. Sent as text by fetch.py; Python 3.8, standard library only. It writes nothing, and nothing blocks it for long.

    the mark, then one line of JSON: files, links, failing, blocking, root_only, programs, secrets
"""

import glob
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import threading
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

MARK = "EDGEPRESS-SHARE-1"
ROOT = os.environ.get("EDGEPRESS_FS_ROOT", "/")
LIMIT_S = 2.0  # for one file or program, as in device_agent/board/procfs.py
MOST_FILES, MOST_BYTES, MOST_BLOCKING = 1500, 16384, 6
CPU = "sys/devices/system/cpu/cpu[0-9]*/"
INA3221 = "sys/bus/i2c/drivers/ina3221*/*-00*/"
PATTERNS = (
    "proc/cpuinfo", "proc/meminfo", "proc/loadavg", "proc/stat", "proc/vmstat", "proc/pressure/*",
    "proc/device-tree/model", "proc/device-tree/compatible", "proc/device-tree/cpus/cpu@*/compatible",
    "proc/device-tree/fw-cfg@*/compatible", "etc/os-release", "usr/lib/os-release", "etc/nv_tegra_release",
    "sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name",
    "sys/class/thermal/thermal_zone*/type", "sys/class/thermal/thermal_zone*/temp",
    "sys/class/thermal/cooling_device*/type", "sys/class/thermal/cooling_device*/cur_state",
    "sys/class/hwmon/hwmon*/name", "sys/class/hwmon/hwmon*/*_input", "sys/class/hwmon/hwmon*/*_alarm", "sys/class/hwmon/hwmon*/*_label",
    "sys/class/devfreq/*/*_freq", "sys/class/devfreq/*/governor",
    "sys/class/powercap/intel-rapl:*/name", "sys/class/powercap/intel-rapl:*/*_uj",
    INA3221 + "hwmon/hwmon*/*_label", INA3221 + "hwmon/hwmon*/*_input", INA3221 + "hwmon/hwmon*/*_resistor",
    INA3221 + "hwmon/hwmon*/update_interval", INA3221 + "iio:device*/name", INA3221 + "iio:device*/rail_name_*",
    INA3221 + "iio:device*/in_*_input",
    CPU + "online", CPU + "cpu_capacity", CPU + "cpufreq/cpuinfo_*_freq", CPU + "cpufreq/scaling_*", CPU + "thermal_throttle/*_count",
    "sys/devices/system/clocksource/clocksource0/*_clocksource",
)  # fmt: skip
# As in device_agent/board/conditions.py: some block forever.
NO_TEMPERATURE = re.compile("pmic-die|cv[0-9]", re.IGNORECASE)
PROGRAMS = (
    ("vcgencmd", "get_throttled"), ("vcgencmd", "pmic_read_adc"), ("vcgencmd", "pmic_read_adc", "EXT5V_V"), ("nvpmodel", "-q"),
)  # fmt: skip
SERIALS = (
    "proc/device-tree/serial-number", "sys/firmware/devicetree/base/serial-number", "etc/machine-id",
    "proc/sys/kernel/random/boot_id", "sys/class/dmi/id/*_serial", "sys/class/dmi/id/product_uuid", "sys/block/*/device/serial",
    "sys/block/*/device/cid", "sys/bus/usb/devices/*/serial",
)  # fmt: skip
said: Dict[str, Any] = {
    "files": {}, "links": {}, "failing": [], "blocking": [], "root_only": [], "programs": {}, "secrets": [],
}  # fmt: skip


def main() -> None:
    for path in paths():
        if len(said["blocking"]) >= MOST_BLOCKING or len(said["files"]) >= MOST_FILES:
            break
        take(path)
    release()
    for command in PROGRAMS:
        answer = asked(command)
        if answer is not None:
            said["programs"][" ".join(command)] = answer[:MOST_BYTES]
    secrets()
    sys.stdout.write("\n" + MARK + "\n" + json.dumps(said) + "\n")
    sys.stdout.flush()
    os._exit(0)  # a thread may still be blocked in a sensor


def paths() -> Iterator[str]:
    """Yield the existing paths, without the zone temperatures that the agent does not read either."""
    for pattern in PATTERNS:
        for found in sorted(glob.glob(os.path.join(glob.escape(ROOT), pattern))):
            path = os.path.relpath(found, ROOT)
            folder, name = os.path.split(path)
            is_zone = name == "temp" and NO_TEMPERATURE.match(text(folder + "/type") or "")
            if not is_zone:
                yield path


def take(path: str) -> None:
    link = os.path.dirname(path)
    if os.path.basename(link) == "cpufreq" and os.path.islink(os.path.join(ROOT, link)):
        # the cores of a group share a clock, which the agent recognizes by this link
        target = os.path.relpath(os.path.realpath(os.path.join(ROOT, link)), os.path.realpath(ROOT))
        if target.startswith("sys/"):
            said["links"][link] = os.path.relpath(target, os.path.dirname(link))
            path = os.path.join(target, os.path.basename(path))
    if path in said["files"] or not os.access(os.path.join(ROOT, path), os.F_OK):
        return
    found: List[Union[str, OSError]] = []
    reader = threading.Thread(target=lambda: found.append(read(path)), daemon=True)
    reader.start()
    reader.join(LIMIT_S)
    if not found:
        said["blocking"].append(path)
    elif isinstance(found[0], str):
        said["files"][path] = found[0]
    elif isinstance(found[0], PermissionError):
        said["root_only"].append(path)
    elif isinstance(found[0], OSError):
        said["failing"].append(path)


def read(path: str) -> Union[str, OSError]:
    """Return the text, or the error."""
    try:
        with open(os.path.join(ROOT, path), "rb") as file:
            return file.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError as error:
        return error


def text(path: str) -> Optional[str]:
    found = read(path)
    return found.strip(" \t\r\n\0") if isinstance(found, str) else None


def release() -> None:
    """Add the two lines of dpkg's list with a Jetson's release, which may be only there."""
    try:
        with open(os.path.join(ROOT, "var/lib/dpkg/status"), encoding="utf-8", errors="replace") as file:
            match = re.search(r"^Package: nvidia-l4t-core\n(?:.+\n)*?(Version: [0-9.]+)", file.read(), re.MULTILINE)
    except OSError:
        return
    if match:
        said["files"]["var/lib/dpkg/status"] = "Package: nvidia-l4t-core\n" + match.group(1) + "\n"


def asked(command: Tuple[str, ...]) -> Optional[str]:
    """Return the output of a program; None: it does not exist, or does not end."""
    program = shutil.which(command[0]) or shutil.which(command[0], path="/usr/local/sbin:/usr/sbin:/sbin")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")


def secrets() -> None:
    """Collect what identifies this board and its users; the host removes it everywhere and keeps none of it."""

    def add(kind: str, *texts: Optional[str]) -> None:
        said["secrets"].extend([kind, each.strip(" \t\r\n\0")[:256]] for each in texts if each)

    node = os.uname().nodename
    add("host name", node, node.partition(".")[0], text("etc/hostname"))
    for user in pwd.getpwall():
        if (user.pw_uid >= 1000 and user.pw_name != "nobody") or user.pw_uid == os.getuid():
            add("user name", user.pw_name, *user.pw_gecos.split(","))
    add("user name", os.environ.get("USER", ""), os.environ.get("LOGNAME", ""))
    add("address", *os.environ.get("SSH_CONNECTION", "").split()[::2])
    for path in glob.glob(os.path.join(glob.escape(ROOT), "sys/class/net/*/address")):
        mac = text(os.path.relpath(path, ROOT)) or ""
        add("MAC address", mac, mac.replace(":", ""))
    for pattern in SERIALS:
        for path in glob.glob(os.path.join(glob.escape(ROOT), pattern)):
            add("serial number", text(os.path.relpath(path, ROOT)))
    add("serial number", *re.findall(r"^Serial\s*:\s*(\S+)", text("proc/cpuinfo") or "", re.MULTILINE))
    said["secrets"] = said["secrets"][:2000]


if __name__ == "__main__":
    main()
