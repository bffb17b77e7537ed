"""TI INA226, 16 bits, over I2C: a shunt in the board's supply, for example at 5 V.

Rail: what runs through the shunt (`rail` names it). Settings: shunt_ohm; address (0x40), bus (1), shunt_tolerance_percent (1).
Rate: 100 Hz; each reading is the mean of 4 conversions of 1.1 ms of voltage and current: 8.8 ms of every 10 ms are covered.
Accuracy: at most 0.1 % in current and 0.1 % in voltage, 10 uV in offset, and the shunt's tolerance.
Data sheet: TI SBOS547A: the shunt's LSB is 2.5 uV, the bus's 1.25 mV.
"""

from typing import Dict

from device_agent.meters._i2c import TEXAS_INSTRUMENTS, Chip, signed
from device_agent.meters._meter import Meter

AUTO = False
CONFIG, SHUNT, BUS = 0x00, 0x01, 0x02
FULL = 0x7FFF  # 81.92 mV
AVERAGE_OF_4 = 0x4327  # AVG = 001, both conversions of 1.1 ms, both continuous


def open_meter(settings: Dict[str, str]) -> Meter:
    return _Ina226(settings)


class _Ina226(Chip):
    gain = 0.002
    offset_uv = 10 + 1.25  # and half an LSB
    identity = ((0xFE, TEXAS_INSTRUMENTS), (0xFF, 0x2260))
    delay_ns = 17_600_000  # the mean of the last 8.8 ms, which may have ended 8.8 ms ago

    def start(self) -> None:
        self.chip.write(CONFIG, AVERAGE_OF_4)

    def volt(self) -> float:
        return float(self.chip.read(BUS) * 1.25e-3)

    def read(self) -> int:
        shunt = signed(self.chip.read(SHUNT), 16)
        if abs(shunt) >= FULL:
            raise OSError("more current than the shunt can show")
        return round(shunt * 2.5 / self.shunt_ohm * self.volt())
