"""The state of the board at this moment: warm, slowed down, or busy with something else?"""

import re
import shutil
import subprocess
import time
from typing import Optional

from device_agent import facts
from device_agent.wire import Conditions

# Zones that tell no temperature: PMIC-Die of the Jetson Nano is always 100000; reading the
# CV zones of an Orin Nano, whose hardware is absent, fails or blocks for ever, so they are not even read.
NO_TEMPERATURE = re.compile("pmic-die|cv[0-9]", re.IGNORECASE)
PLACEHOLDER_MC = -256000  # of an NVIDIA zone that is switched off
VCGENCMD_TIMEOUT_S = 1.0


def observe() -> Conditions:
    load = facts.field("proc/loadavg", "^([0-9.]+) ")
    pressure = facts.field("proc/pressure/cpu", "^some avg10=([0-9.]+) ")
    return Conditions(
        t_ns=time.monotonic_ns(),
        temperature_mc=_hottest_mc(),
        cpu_khz=min(facts.numbers("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"), default=None),
        governor=facts.governor(),
        throttle_flags=_throttle_flags(),
        load_average_milli=None if load is None else round(float(load) * 1000),
        cpu_pressure_centi=None if pressure is None else round(float(pressure) * 100),
        available_bytes=facts.kib("proc/meminfo", "MemAvailable"),
    )


def _hottest_mc() -> Optional[int]:
    readings = []
    for zone in facts.paths("sys/class/thermal/thermal_zone[0-9]*"):
        if not NO_TEMPERATURE.match(facts.text(zone + "/type") or ""):
            reading = facts.number(zone + "/temp")
            if reading is not None and reading != PLACEHOLDER_MC:
                readings.append(reading)
    return max(readings, default=None)


def _throttle_flags() -> Optional[int]:
    """Of the Raspberry Pi's firmware: bits 0-3 now, 16-19 since boot."""
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        told = subprocess.run(
            [program, "get_throttled"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=VCGENCMD_TIMEOUT_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):  # no right to use /dev/vcio, or the firmware hangs
        return None
    match = re.match(rb"throttled=0x([0-9a-fA-F]+)", told)
    return int(match.group(1), 16) if match else None
