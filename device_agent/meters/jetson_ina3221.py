"""The INA3221 on NVIDIA's Jetson modules.

Rail: the whole module, VDD_IN or POM_5V_IN, if it is measured; else the sum of the named rails (AGX). Not the carrier
board: its USB devices are not included.
Rate: 100 Hz; one reading is a transfer of some 0.3 ms for each voltage and current, one after the other (the kernel's driver).
But the chip averages, and is no faster than `update_interval`, which is a second or more if a board's image asks for many
samples: then it is read four times per interval, and a reading may be two intervals old. JetPack 4 does not report it.
Accuracy: of the chip at most 0.25 % in gain, each of voltage and current, and 80 uV (16 mA at 5 mOhm) in offset; the shunts'
tolerance and the settling are not published: the gain is unknown unless `gain_percent` gives the result of a calibration.
Sources: TI SBOS576 (INA3221); kernel Documentation/hwmon/ina3221.rst (JetPack 5 and 6: mV and mA, no power*_input); NVIDIA's
Jetson Linux documentation, "Jetson Orin: software-based power consumption modeling" (JetPack 4: iio, in_powerN_input in mW).
"""

from typing import Callable, Dict, List, Optional, Tuple

from device_agent.board import procfs
from device_agent.meters._meter import Meter, checked

AUTO = True
TOTALS = ("VDD_IN", "POM_5V_IN")
OFFSET_UV = 80  # SBOS576, shunt offset voltage, maximum
LSB_UV = 40  # SBOS576, of the shunt voltage
SLOWEST_MS = 10_000

Rail = Tuple[str, Callable[[], Optional[int]], Optional[int]]  # name, reads microwatts, shunt in microohm


def open_meter(settings: Dict[str, str]) -> Meter:
    checked(settings, ())
    rails = _hwmon() or _iio()
    total = [rail for rail in rails if rail[0] in TOTALS]
    if not rails:
        raise OSError("the kernel shows no INA3221 with a readable rail")
    return _Ina3221(total[:1] or rails)


class _Ina3221(Meter):
    def __init__(self, rails: List[Rail]) -> None:
        self.rails = rails
        self.rail = "+".join(name for name, _, _ in rails)
        shunts = [shunt for _, _, shunt in rails]
        if all(shunts):  # at 5 V: the supply of most; the rails of the others are lower
            self.offset_uw = round(sum((OFFSET_UV + LSB_UV / 2) / shunt * 5e6 for shunt in shunts if shunt))
        intervals_ms = procfs.numbers(procfs.paths("sys/bus/i2c/drivers/ina3221*/*-00*/hwmon/hwmon*/update_interval"))
        interval_ns = min(max([0, *intervals_ms]), SLOWEST_MS) * 1_000_000
        self.period_ns, self.delay_ns = max(self.period_ns, interval_ns // 4), 2 * interval_ns

    def read(self) -> int:
        power_uw = 0
        for name, read, _ in self.rails:
            value = read()
            if value is None:
                raise OSError("the rail %s cannot be read" % name)
            power_uw += value
        return power_uw


def _hwmon() -> List[Rail]:
    """Return the rails on JetPack 5 and 6."""
    rails = []
    for label in procfs.paths("sys/bus/i2c/drivers/ina3221*/*-00*/hwmon/hwmon*/in[123]_label"):
        name, channel = procfs.text(label), label[-len("1_label")]
        folder = label.rpartition("/")[0]
        read = _product(f"{folder}/in{channel}_input", f"{folder}/curr{channel}_input")
        if name and name != "NC" and read() is not None:
            rails.append((name, read, procfs.number(f"{folder}/shunt{channel}_resistor")))
    return rails


def _iio() -> List[Rail]:
    """Return the rails on JetPack 4, whose driver rounds to mW."""
    rails: List[Rail] = []
    for label in procfs.paths("sys/bus/i2c/drivers/ina3221*/*-00*/iio:device*/rail_name_[012]"):
        name, channel = procfs.text(label), label[-1]
        read = _milli(f"{label.rpartition('/')[0]}/in_power{channel}_input")
        if name and name != "NC" and read() is not None:
            rails.append((name, read, None))
    return rails


def _product(voltage: str, current: str) -> Callable[[], Optional[int]]:
    def read() -> Optional[int]:
        millivolt, milliampere = procfs.number(voltage), procfs.number(current)
        return None if millivolt is None or milliampere is None else millivolt * milliampere

    return read


def _milli(power: str) -> Callable[[], Optional[int]]:
    def read() -> Optional[int]:
        milliwatt = procfs.number(power)
        return None if milliwatt is None else milliwatt * 1000

    return read
