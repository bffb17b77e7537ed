"""Power meters behind a fake bus: what each reads by its data sheet."""

import pytest

from device_agent.meters import METERS, _i2c, ina228, listed, open_meter
from tests.support.meters import use


class Chip:
    """Registers as the data sheets have them; `sizes`: bytes of a register that has not two."""

    def __init__(self, registers: dict[int, int], sizes: dict[int, int] | None = None) -> None:
        self.registers, self.sizes, self.written, self.closed = dict(registers), sizes or {}, {}, False

    def read(self, register: int, size: int = 2) -> int:
        assert size == self.sizes.get(register, 2)
        return self.registers[register]

    def write(self, register: int, value: int) -> None:
        self.written[register] = value

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def chip(monkeypatch):
    """Put a chip on the bus; the addresses that were opened."""

    def there(found: Chip) -> list[tuple[int, int]]:
        opened: list[tuple[int, int]] = []

        def open_bus(bus: int, address: int) -> Chip:
            opened.append((bus, address))
            return found

        monkeypatch.setattr(_i2c, "open_bus", open_bus)
        return opened

    return there


TI = {0xFE: 0x5449}
# 5 V and 0.5 A: 2.5 W; the shunt is 0.1 Ohm, so 50 mV
CHIPS = {
    "ina219": Chip({0x01: 5000, 0x02: 1250 << 3}),
    "ina226": Chip({**TI, 0xFF: 0x2260, 0x01: 20_000, 0x02: 4000}),
    "ina260": Chip({**TI, 0xFF: 0x2270, 0x01: 400, 0x02: 4000}),
}


@pytest.mark.parametrize("name", CHIPS)
def test_a_chip_reads_by_its_data_sheet(chip, name):
    opened = chip(CHIPS[name])
    settings = {"address": "0x45", "bus": 2} | ({} if name == "ina260" else {"shunt_ohm": 0.1})
    meter = open_meter(use(name, **settings))
    assert opened == [(2, 0x45)]
    assert meter.read() == 2_500_000
    assert meter.gain_ppm < 25_000
    assert meter.offset_uw > 0
    meter.close()
    assert CHIPS[name].closed


def test_the_ina228_adds_up_the_energy(chip):
    per_lsb = 10 / 2**19
    registers = {
        0x3E: 0x5449,
        0x3F: 0x2281,
        0x05: round(5 / 195.3125e-6) << 4,
        0x0B: 0,
        0x09: round(7.5 / (16 * 3.2 * per_lsb)),
    }
    found = Chip(registers, {0x05: 3, 0x09: 5})
    chip(found)
    meter = open_meter(use("ina228", shunt_ohm=0.015, max_ampere=10))
    assert meter.accumulates
    assert (
        found.written[0x02] == round(13107.2e6 * per_lsb * 0.015) == 3750
    )  # the data sheet's own example is of this size
    assert found.written[0x00] == ina228.RESET_ACCUMULATORS
    assert meter.read() == pytest.approx(7_500_000, abs=1000)
    found.registers[0x0B] = 0x0800
    with pytest.raises(OSError, match="overflowed"):
        meter.read()


def test_another_chip_at_the_address_is_not_read(chip):
    found = Chip({**TI, 0xFF: 0x2270, 0x01: 0, 0x02: 0})
    chip(found)
    with pytest.raises(OSError, match="another chip: register 0xff holds 0x2270"):
        open_meter(use("ina226", shunt_ohm=0.1))
    assert found.closed


@pytest.mark.parametrize("name", ["ina219", "ina226"])
def test_more_current_than_the_shunt_can_show_is_no_reading(chip, name):
    found = Chip({**CHIPS[name].registers, 0x01: 32_767})
    chip(found)
    with pytest.raises(OSError, match="more current"):
        open_meter(use(name, shunt_ohm=0.1))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "shunt_ohm"), ({"shunt_ohm": -1}, "above 0"), ({"shunt_ohm": "nan"}, "above 0"), ({"shunt_ohm": 1, "adress": 64}, "no setting adress"),
        ({"shunt_ohm": 1, "address": "0x100"}, "0x8 to 0x77"), ({"shunt_ohm": 1, "bus": "one"}, "bus must be"),
        ({"shunt_ohm": 0.1, "gain_percent": "0"}, "above 0"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_said(chip, settings, says):
    chip(CHIPS["ina226"])
    (info,) = listed((use("ina226", **settings),)).meters
    assert says in info.error


def test_the_users_calibration_goes_before_the_data_sheet(chip):
    chip(CHIPS["ina226"])
    assert open_meter(use("ina226", shunt_ohm=0.1)).gain_ppm == 12_000  # 0.2 % and a shunt of 1 %
    assert open_meter(use("ina226", shunt_ohm=0.1, shunt_tolerance_percent=0.1)).gain_ppm == 3000
    assert open_meter(use("ina226", shunt_ohm=0.1, gain_percent=0.25)).gain_ppm == 2500


def test_every_meter_of_the_table_is_tried_here():
    tried = {"jetson_ina3221", "pi5_pmic", "rapl", "replay", "ina228", *CHIPS}
    assert set(METERS) == tried
