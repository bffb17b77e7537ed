"""Power meters on recorded trees and behind a fake bus: what each reads, and what the sampler makes of them."""

from pathlib import Path

import pytest

from device_agent import wire
from device_agent.meters import METERS, listed, open_meter, pi5_pmic, rapl
from tests.support import board_trees
from tests.support.agent_process import pythons
from tests.support.meters import use


@pytest.fixture
def board(monkeypatch, tmp_path):
    """This process as on a board of that name; where its tree lies."""

    def become(name: str) -> Path:
        root = board_trees.tree(name, tmp_path)
        for key, value in board_trees.environment(root).items():
            monkeypatch.setenv(key, value)
        return root

    return become


# --- what a board has


@pytest.mark.parametrize(
    ("name", "meter", "rail", "power_uw"),
    [
        ("orin_nano", "jetson_ina3221", "VDD_IN", 6_626_000),  # tegrastats of the same sample: 6626 mW
        ("xavier_nx", "jetson_ina3221", "VDD_IN", 3_902_000),
        ("jetson_nano", "jetson_ina3221", "POM_5V_IN", 933_000),
    ],
)
def test_the_module_is_measured_where_a_rail_is_the_whole(board, name, meter, rail, power_uw):
    board(name)
    assert [(info.name, info.rail, info.error) for info in listed(()).meters] == [(meter, rail, "")]
    assert open_meter(use(meter)).read() == pytest.approx(power_uw, rel=0.005)  # the files round to mV and mA


def test_without_a_total_the_rails_with_a_name_are_added(board):
    """NC channels are skipped, and so is the one whose read fails."""
    root = board("agx_orin")
    opened = open_meter(use("jetson_ina3221"))
    assert opened.rail == "VDD_GPU_SOC+VDD_CPU_CV+VIN_SYS_5V0+VDDQ_VDD2_1V8AO"
    sums = 0
    for label in root.glob("sys/bus/i2c/drivers/ina3221/*/hwmon/*/in[123]_label"):
        if label.read_text().strip() != "NC":
            channel = label.name[2]
            volt, ampere = label.with_name(f"in{channel}_input"), label.with_name(f"curr{channel}_input")
            sums += int(volt.read_text()) * int(ampere.read_text())
    assert opened.read() == sums > 0


def test_a_rail_that_fails_later_is_a_failed_reading(board):
    root = board("orin_nano")
    opened = open_meter(use("jetson_ina3221"))
    next(root.glob("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_input")).unlink()
    with pytest.raises(OSError, match="VDD_IN cannot be read"):
        opened.read()


@pytest.mark.parametrize(
    ("told", "period_ms", "delay_ms"), [("7", 10, 14), ("1100", 275, 2200), ("9" * 18, 2500, 20_000), ("?", 10, 0)]
)
def test_a_chip_that_averages_is_no_faster_than_its_interval(board, told, period_ms, delay_ms):
    """Its tree asks for the mean of 512 samples; with 7 ms it is as after power-on: three channels, one sample each."""
    (path,) = board("orin_nano").glob("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/update_interval")
    path.write_text(told + "\n")
    opened = open_meter(use("jetson_ina3221"))
    assert (opened.period_ns, opened.delay_ns) == (period_ms * 1_000_000, delay_ms * 1_000_000)


def test_the_pmic_adds_its_twelve_rails_and_not_the_supply(board):
    board("pi5")
    (info,) = listed(()).meters
    assert (info.name, info.quality, info.period_ns) == ("pi5_pmic", "coarse", 100_000_000)
    said = (board_trees.BOARDS / "pi5/said/vcgencmd pmic_read_adc").read_text()
    by_hand = 0.0
    numbers = {line.split()[0]: float(line.split("=")[1][:-1]) for line in said.splitlines()}
    for rail in ("3V7_WL_SW", "3V3_SYS", "1V8_SYS", "DDR_VDD2", "DDR_VDDQ", "1V1_SYS", "0V8_SW", "VDD_CORE", "3V3_DAC",
                 "3V3_ADC", "0V8_AON", "HDMI"):  # fmt: skip
        by_hand += numbers[rail + "_A"] * numbers[rail + "_V"]
    assert open_meter(use("pi5_pmic")).read() == round(by_hand * 1e6)
    assert 1.5 < by_hand < 2.5  # an idle Pi 5


def test_a_pi_4_has_no_meter_and_says_so(board):
    board("pi4")
    assert listed(()).meters == ()
    with pytest.raises(OSError, match="only a Pi 5 does"):
        open_meter(use("pi5_pmic"))


@pytest.mark.parametrize("said", ["", 'error=1 error_msg="Command not registered"\n', "VDD_CORE_A current(7)=1.0A\n"])
def test_a_firmware_that_tells_no_rail_is_no_meter(said):
    assert pi5_pmic._powers(said) == {}


def test_rapl_adds_packages_and_goes_on_when_a_counter_wraps(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEPRESS_FS_ROOT", str(tmp_path))
    for number, (name, energy_uj) in enumerate((("package-0", 900), ("package-1", 50), ("psys", 7))):
        zone = tmp_path / f"sys/class/powercap/intel-rapl:{number}"
        zone.mkdir(parents=True)
        (zone / "name").write_text(name + "\n")
        (zone / "energy_uj").write_text(f"{energy_uj}\n")
        (zone / "max_energy_range_uj").write_text("999\n")
    opened = open_meter(use("rapl"))
    assert (opened.accumulates, opened.read()) == (True, 950)
    counter = tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj"
    counter.write_text("20\n")
    assert opened.read() == 1000 + 20 + 50
    counter.write_text("30\n")
    assert opened.read() == 1000 + 30 + 50
    (tmp_path / "sys/class/powercap/intel-rapl:0/max_energy_range_uj").unlink()
    blind = rapl._Package("sys/class/powercap/intel-rapl:0")
    blind.read()
    counter.write_text("1\n")
    with pytest.raises(OSError, match="decreased, and max_energy_range_uj is missing"):
        blind.read()


def test_counters_for_root_only_are_said_to_be(board):
    """A folder in the place of the file: reading it fails for root, too."""
    counter = board("pc") / "sys/class/powercap/intel-rapl:0/energy_uj"
    counter.unlink()
    counter.mkdir()
    with pytest.raises(OSError, match="only root may read its counters"):
        open_meter(use("rapl"))


@pytest.mark.parametrize("version", pythons())
def test_the_agent_says_which_meters_it_can_read(start, tmp_path, version):
    agent = start(python=pythons()[version], env=board_trees.environment(board_trees.tree("orin_nano", tmp_path)))
    (info,) = agent.ask(wire.Meters(())).meters
    assert (info.name, info.rail, info.quality, info.accumulates, info.error) == (
        "jetson_ina3221",
        "VDD_IN",
        "measured",
        False,
        "",
    )
    asked = agent.ask(
        wire.Meters((use("ina226", shunt_ohm=0.1), use("ina226"), use("crystal ball"), use("rapl")))
    ).meters
    assert "/dev/i2c-1" in asked[0].error
    assert [info.error for info in asked[1:]] == [
        "shunt_ohm must be a number above 0; it is missing",
        f"there is no meter 'crystal ball', only {', '.join(METERS)}",
        "the kernel shows no RAPL package",
    ]
