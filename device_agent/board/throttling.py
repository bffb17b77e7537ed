"""What slows a board down: heat and a weak supply. Each of these is reported by some boards only."""

import re
from typing import NamedTuple, Optional

from device_agent.board import procfs

# Cooling devices that slow processors down, by the names that the kernel's drivers give them: cpufreq_cooling and
# devfreq_cooling ("cpufreq-cpu0", "thermal-cpufreq-0"), ACPI ("Processor"), NVIDIA's for Tegra ("cpu-balanced"). Not fans.
COOLING = re.compile("(?:thermal-)?(?:cpufreq|devfreq)-|Processor$|(?:cpu|gpu|emergency)-balanced$")


class Throttling(NamedTuple):
    throttle_flags: Optional[int]  # Raspberry Pi's firmware: bits 0-3 now, 16-19 since boot
    throttle_count: Optional[int]  # x86: how often a core or the package was too hot since boot
    cooling_states: Optional[int]  # sum over COOLING; 0: nothing is slowed down by heat
    undervoltage: Optional[bool]  # Raspberry Pi's kernel driver: the supply is too weak now
    supply_mv: Optional[int]  # Raspberry Pi 5


def observe() -> Throttling:
    throttled, supply = _firmware()
    counts = procfs.numbers(procfs.paths("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"))
    devices = procfs.paths("sys/class/thermal/cooling_device[0-9]*")
    slowing = [device + "/cur_state" for device in devices if COOLING.match(procfs.text(device + "/type") or "")]
    states = [state for state in procfs.numbers(slowing) if state >= 0]
    alarm = next(
        (value for value in map(_alarm, procfs.paths("sys/class/hwmon/hwmon[0-9]*")) if value is not None), None
    )
    return Throttling(
        throttle_flags=throttled,
        throttle_count=sum(counts) if counts else None,
        cooling_states=sum(states) if states else None,
        undervoltage=None if alarm is None else alarm != 0,
        supply_mv=supply,
    )


def _firmware() -> "tuple[Optional[int], Optional[int]]":
    """Return the throttle flags and the supply voltage in mV, from two runs of one program at once."""
    vcgencmd = procfs.program("vcgencmd")
    if vcgencmd is None:
        return None, None
    throttled, supply = (vcgencmd, "get_throttled"), (vcgencmd, "pmic_read_adc", "EXT5V_V")
    answered = procfs.answers([throttled, supply])
    flags = re.match("throttled=0x([0-9a-fA-F]{1,8})$", answered.get(throttled, ""), re.MULTILINE)
    volt = re.search(r"^ *EXT5V_V volt\([0-9]+\)=([0-9]{1,3}\.[0-9]{1,9})V$", answered.get(supply, ""), re.MULTILINE)
    return int(flags.group(1), 16) if flags else None, round(float(volt.group(1)) * 1000) if volt else None


def _alarm(hwmon: str) -> Optional[int]:
    """Return the alarm of the driver raspberrypi-hwmon (see its kernel documentation): set while the voltage is too low."""
    return procfs.number(hwmon + "/in0_lcrit_alarm") if procfs.text(hwmon + "/name") == "rpi_volt" else None
