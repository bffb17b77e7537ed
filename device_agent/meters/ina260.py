"""TI INA260, 16 bits, over I2C, with a shunt of 2 mOhm inside.

Rail: what runs through it (`rail` names it). Settings: address (0x40), bus (1).
Rate: 100 Hz; each reading is the mean of 4 conversions of 1.1 ms of voltage and current.
Accuracy: at most 0.5 % in current over temperature and 0.1 % in voltage, 5 mA in offset. No shunt to calibrate.
Data sheet: TI SBOS656C: LSBs are 1.25 mA and 1.25 mV.
"""

from typing import Dict

from device_agent.meters._i2c import TEXAS_INSTRUMENTS, Chip, signed
from device_agent.meters._meter import Meter

AUTO = False
CONFIG, CURRENT, BUS = 0x00, 0x01, 0x02
AVERAGE_OF_4 = 0x6327  # AVG = 001, both conversions of 1.1 ms, both continuous


def open_meter(settings: Dict[str, str]) -> Meter:
    return _Ina260(settings)


class _Ina260(Chip):
    gain = 0.006
    offset_uv = 5000 + 625  # shunt_ohm is 1 here: microampere, with half an LSB
    identity = ((0xFE, TEXAS_INSTRUMENTS), (0xFF, 0x2270))
    has_shunt = False
    delay_ns = 17_600_000

    def start(self) -> None:
        self.chip.write(CONFIG, AVERAGE_OF_4)

    def volt(self) -> float:
        return float(self.chip.read(BUS) * 1.25e-3)

    def read(self) -> int:
        return round(signed(self.chip.read(CURRENT), 16) * 1250 * self.volt())
