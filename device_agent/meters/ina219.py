"""TI INA219, 12 bits, over I2C: a shunt in the board's supply, for example at 5 V.

Rail: what runs through the shunt (`rail` names it). Settings: shunt_ohm; address (0x40), bus (1), shunt_tolerance_percent (1).
Rate: 100 Hz; one conversion of voltage and current takes 1.06 ms and is not an average over the period.
Accuracy: at most 0.5 % in current and 0.5 % in voltage at 25 degrees, 100 uV in offset, and the shunt's tolerance.
Data sheet: TI SBOS448G (INA219A): the shunt's LSB is 10 uV, the bus's 4 mV.
"""

from typing import Dict

from device_agent.meters._i2c import Chip, signed
from device_agent.meters._meter import Meter

AUTO = False
CONFIG, SHUNT, BUS = 0x00, 0x01, 0x02
FULL = 32_000  # 320 mV
CONTINUOUS = 0x399F  # 32 V, gain / 8 (320 mV), 12 bits, both continuous: the value after power-on


def open_meter(settings: Dict[str, str]) -> Meter:
    return _Ina219(settings)


class _Ina219(Chip):
    gain = 0.010
    offset_uv = 100 + 5  # and half an LSB
    delay_ns = 1_100_000

    def start(self) -> None:
        self.chip.write(CONFIG, CONTINUOUS)

    def volt(self) -> float:
        return float((self.chip.read(BUS) >> 3) * 4e-3)

    def read(self) -> int:
        shunt = signed(self.chip.read(SHUNT), 16)
        if abs(shunt) >= FULL:
            raise OSError("more current than the shunt can show")
        return round(shunt * 10 / self.shunt_ohm * self.volt())
