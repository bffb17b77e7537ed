"""The state of the board at this moment: warm, slowed down, or busy with something else?"""

import re
import time
from typing import Optional

from device_agent import facts
from device_agent.wire import Conditions

# Zones that tell no temperature: PMIC-Die of the Jetson Nano is always 100000; reading the CV zones of an Orin Nano, whose
# hardware is absent, fails or blocks for ever, so they are not even tried (tj is the hottest of all zones there).
NO_TEMPERATURE = re.compile("pmic-die|cv[0-9]", re.IGNORECASE)
PLACEHOLDER_MC = -256000  # of an NVIDIA zone that is switched off


def observe() -> Conditions:
    """Takes some 10 ms, most of it for the thermal zones; at most facts.LIMIT_S and a little where one blocks."""
    load = facts.field("proc/loadavg", r"^([0-9]{1,9}\.[0-9]+) ")
    pressure = facts.field("proc/pressure/cpu", r"^some avg10=([0-9]{1,9}\.[0-9]+) ")
    return Conditions(
        t_ns=time.monotonic_ns(),
        temperature_mc=_hottest_mc(),
        cpu_khz=min(facts.numbers(facts.of_cores("scaling_cur_freq")), default=None),
        governor=facts.governor(),
        throttle_flags=_throttle_flags(),
        load_average_milli=None if load is None else round(float(load) * 1000),
        cpu_pressure_centi=None if pressure is None else round(float(pressure) * 100),
        available_bytes=facts.kib("proc/meminfo", "MemAvailable"),
    )


def _hottest_mc() -> Optional[int]:
    zones = [
        zone
        for zone in facts.paths("sys/class/thermal/thermal_zone[0-9]*")
        if not NO_TEMPERATURE.match(facts.text(zone + "/type") or "")
    ]
    readings = facts.sensors([zone + "/temp" for zone in zones]).values()
    return max((reading for reading in readings if reading != PLACEHOLDER_MC), default=None)


def _throttle_flags() -> Optional[int]:
    """Of the Raspberry Pi's firmware: bits 0-3 now, 16-19 since boot."""
    vcgencmd = facts.program("vcgencmd")
    if vcgencmd is None:
        return None
    command = (vcgencmd, "get_throttled")
    match = re.match("throttled=0x([0-9a-fA-F]{1,8})$", facts.answers([command]).get(command, ""), re.MULTILINE)
    return int(match.group(1), 16) if match else None
