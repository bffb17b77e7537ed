"""The state of the board at this moment: warm, slowed down, or busy with something else?"""

import functools
import os
import re
import time
from typing import Optional, Tuple

from device_agent import facts
from device_agent.wire import Conditions

# Zones that tell no temperature: PMIC-Die of the Jetson Nano is always 100000; reading the CV zones of an Orin Nano, whose
# hardware is absent, fails or blocks for ever, so they are not even tried (tj is the hottest of all zones there).
NO_TEMPERATURE = re.compile("pmic-die|cv[0-9]", re.IGNORECASE)
PLACEHOLDER_MC = -256000  # of an NVIDIA zone that is switched off
QUICK_NS = 100_000  # for one sensor in glance(): the workers wait meanwhile, and cool

_quick_zone: Optional[str] = None  # the hottest of those that answered within QUICK_NS when observe() looked last


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
    readings = facts.sensors([zone + "/temp" for zone in zones])
    hottest_first = sorted(
        ((reading, path) for path, reading in readings.items() if reading != PLACEHOLDER_MC), reverse=True
    )
    global _quick_zone  # noqa: PLW0603 - what is known of this board's sensors, as facts._silent is
    _quick_zone = next((path for _, path in hottest_first if _is_quick(path)), None)
    return hottest_first[0][0] if hottest_first else None


def _is_quick(path: str) -> bool:
    """Of a sensor that has just answered, so that it does not block."""
    began_ns = time.perf_counter_ns()
    facts.number(path)
    return time.perf_counter_ns() - began_ns <= QUICK_NS


def glance(cpus: Tuple[int, ...]) -> Tuple[Optional[int], Optional[int]]:
    """The clock in kHz of these cores (the fastest of them: those that idle are clocked down; (): of all) and the temperature
    in milli-degrees Celsius, of one zone. Takes some 0.1 ms and starts no process, for the time between two blocks. The
    temperature is None until observe() has found a sensor that is quick.
    """
    clocks = facts.numbers(_clock_files(facts.root(), cpus))
    return max(clocks, default=None), None if _quick_zone is None else facts.number(_quick_zone)


@functools.lru_cache(maxsize=16)
def _clock_files(root: str, cpus: Tuple[int, ...]) -> Tuple[str, ...]:
    """One for each group of cores that have their clock in common: cpufreq is a link to the group's folder then."""
    files = [f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq" for cpu in cpus]
    groups = {os.path.realpath(os.path.join(root, file)): file for file in files or facts.of_cores("scaling_cur_freq")}
    return tuple(sorted(groups.values()))


def _throttle_flags() -> Optional[int]:
    """Of the Raspberry Pi's firmware: bits 0-3 now, 16-19 since boot."""
    vcgencmd = facts.program("vcgencmd")
    if vcgencmd is None:
        return None
    command = (vcgencmd, "get_throttled")
    match = re.match("throttled=0x([0-9a-fA-F]{1,8})$", facts.answers([command]).get(command, ""), re.MULTILINE)
    return int(match.group(1), 16) if match else None
