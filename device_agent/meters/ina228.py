"""TI INA228, 20 bits, over I2C: it integrates the energy itself, so nothing between two readings is lost.

Rail: what runs through the shunt (`rail` names it). Settings: shunt_ohm; max_ampere (10), address (0x40), bus (1),
shunt_tolerance_percent (1).
Rate: it converts voltage and current each in 150 us and is read at 50 Hz; the 40 bits of energy wrap after days.
Accuracy: at most 0.05 % in current and 0.05 % in voltage, 1 uV in offset, its clock 0.5 %, and the shunt's tolerance.
Data sheet: TI SLYS021A: SHUNT_CAL = 13107.2e6 x CURRENT_LSB x shunt, energy = 16 x 3.2 x CURRENT_LSB x ENERGY.
"""

from typing import Dict

from device_agent.meters._i2c import TEXAS_INSTRUMENTS, Chip
from device_agent.meters._meter import Meter, number

AUTO = False
CONFIG, ADC_CONFIG, SHUNT_CAL, BUS, ENERGY, DIAGNOSIS = 0x00, 0x01, 0x02, 0x05, 0x09, 0x0B
RESET_ACCUMULATORS = 0x4000
CONTINUOUS = 0xB480  # shunt and bus continuously, 150 us each, no average
OVERFLOWS = 0x0A00  # ENERGYOF, MATHOF


def open_meter(settings: Dict[str, str]) -> Meter:
    own = {key: value for key, value in settings.items() if key != "max_ampere"}
    return _Ina228(own, number(settings, "max_ampere", 10))


class _Ina228(Chip):
    gain = 0.006
    offset_uv = 1.0
    identity = ((0x3E, TEXAS_INSTRUMENTS), (0x3F, 0x2280))
    period_ns = 20_000_000
    delay_ns = 300_000
    accumulates = True

    def __init__(self, settings: Dict[str, str], max_ampere: float) -> None:
        self.ampere_per_lsb = max_ampere / 2**19
        super().__init__(settings)

    def start(self) -> None:
        calibration = round(13107.2e6 * self.ampere_per_lsb * self.shunt_ohm)
        if not 0 < calibration < 2**15:
            raise ValueError("max_ampere x shunt_ohm must be below 1.31 V")
        self.chip.write(ADC_CONFIG, CONTINUOUS)
        self.chip.write(SHUNT_CAL, calibration)
        self.chip.write(CONFIG, RESET_ACCUMULATORS)

    def volt(self) -> float:
        return float((self.chip.read(BUS, 3) >> 4) * 195.3125e-6)

    def read(self) -> int:
        if self.chip.read(DIAGNOSIS) & OVERFLOWS:
            raise OSError("the chip's energy overflowed")
        return round(float(self.chip.read(ENERGY, 5)) * 16 * 3.2 * self.ampere_per_lsb * 1e6)
