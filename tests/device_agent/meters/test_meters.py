"""Power meters on recorded trees and behind a fake bus: what each reads, and what the sampler makes of them."""

import os
import threading
import time
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.meters import METERS, _i2c, ina228, listed, open_meter, pi5_pmic, rapl
from device_agent.meters._sampler import Sampler
from device_agent.record import replace
from tests.support import board_trees
from tests.support.agent_process import LAUNCH, pythons, sleep_model, wait_until


def use(name: str, **settings: object) -> wire.MeterUse:
    return wire.MeterUse(name, tuple((key, str(value)) for key, value in settings.items()))


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
    with pytest.raises(OSError, match="VDD_IN can not be read"):
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
    with pytest.raises(OSError, match="went back"):
        blind.read()


def test_counters_for_root_only_are_said_to_be(board):
    """A folder in the place of the file: reading it fails for root, too."""
    counter = board("pc") / "sys/class/powercap/intel-rapl:0/energy_uj"
    counter.unlink()
    counter.mkdir()
    with pytest.raises(OSError, match="for root only"):
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
        f"there is no meter 'crystal ball', but {', '.join(METERS)}",
        "the kernel shows no package of RAPL",
    ]


# --- chips on a bus


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


# --- the sampler


def recording(folder: Path, seconds: float, watts: float = 4.0, step_s: float = 0.005) -> Path:
    path = folder / "trace"
    path.write_text("".join(f"{number * step_s:.3f} {watts}\n" for number in range(round(seconds / step_s))))
    return path


def test_each_period_is_read_once_at_no_fixed_moment(tmp_path):
    sampler = Sampler((use("replay", path=recording(tmp_path, 30), period_ms=10),))
    sampler.enter("idle")
    reader = sampler.readers[0]
    wait_until(lambda: len(reader.readings) >= 60)
    sampler.stop()
    (trace,) = sampler.traces()
    steps = [after - before for before, after in zip(trace.t_ns, trace.t_ns[1:], strict=False)]
    assert min(steps) > 0
    assert len({round(step / 1e6) for step in steps}) > 5  # in step with nothing
    span_ns = trace.t_ns[-1] - trace.t_ns[0]
    assert len(trace.t_ns) + trace.missed == pytest.approx(span_ns / 10_000_000 + 1, abs=4)
    assert set(trace.power_uw) == {4_000_000}
    assert (trace.energy_uj, trace.note, trace.failed) == ((), "", 0)
    assert trace.reading_ns > 0
    asked = len(reader.readings)
    time.sleep(0.05)
    assert len(reader.readings) == asked


def test_it_pauses_where_it_is_told_to_and_goes_on(tmp_path):
    sampler = Sampler((use("replay", path=recording(tmp_path, 30)),))
    reader = sampler.readers[0]
    sampler.enter("load")
    time.sleep(0.05)
    assert reader.readings == []
    sampler.enter("with")
    wait_until(lambda: len(reader.readings) >= 5)
    sampler.enter("without")
    time.sleep(0.03)
    paused = len(reader.readings)
    time.sleep(0.1)
    assert len(reader.readings) == paused
    sampler.enter("timed")
    wait_until(lambda: len(reader.readings) > paused)
    sampler.stop()
    assert (
        sampler.traces()[0].missed < 8
    )  # a pause of ten periods is not ten misses; a busy machine has some of its own


def test_a_meter_that_dies_is_told_and_one_that_blocks_delays_no_other(tmp_path, monkeypatch):
    """The first is over after 0.2 s; the second is a pipe that nobody writes to; the third is fine."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("device_agent.meters._sampler.JOIN_S", 0.2)
    short = tmp_path / "short"
    short.mkdir()
    uses = (
        use("replay", path=recording(short, 0.2)), use("replay", path=tmp_path / "pipe"), use("replay", path=recording(tmp_path, 30)),
    )  # fmt: skip
    sampler = Sampler(uses)
    sampler.enter("timed")
    wait_until(lambda: sampler.readers[0].failed > 3 and len(sampler.readers[2].readings) > 30)
    sampler.stop()
    died, blocked, fine = sampler.traces()
    assert died.note == "a reading failed: the recording is over"
    assert len(died.power_uw) > 5
    assert (blocked.t_ns, "does not answer" in blocked.note) == ((), True)
    assert (fine.failed, fine.note) == (0, "")
    threading.Thread(target=(tmp_path / "pipe").write_text, args=("0 1\n",), daemon=True).start()  # lets the thread end


def test_a_launch_for_the_meters(agent, tmp_path):
    """Through the whole agent: the phases, their times, and both forms of a trace around them."""
    model = agent.store(sleep_model(latency_us=2000))
    trace = use("replay", path=recording(tmp_path, 60), rail="5 V", gain_percent=1)
    launch = replace(
        LAUNCH, mode="energy", model_sha256=model, meters=(trace, use("ina226", shunt_ohm=1)), idle_ns=300_000_000,
        pattern_ns=100_000_000, timed_min_ns=500_000_000,
    )  # fmt: skip
    launched, _ = agent.run(launch)
    assert isinstance(launched, wire.Launched), launched
    ran, (told, absent) = launched.energy, launched.power
    assert ran.end_ns - ran.start_ns == pytest.approx(500_000_000, rel=0.1)
    assert 0 < ran.runs * 2_000_000 <= ran.end_ns - ran.start_ns  # as many as fit; a busy machine runs fewer
    assert len(ran.busy) == 3
    (before, after) = ran.idle
    assert ran.busy[-1][1] < before[0] < before[1] < ran.start_ns < ran.end_ns < after[0] < after[1]
    assert [round((end - start) / 1e8) for start, end in ran.idle] == [3, 3]
    assert len(ran.sampler) == 6
    means_ns = [mean_ns for pair in ran.sampler for mean_ns in pair]
    assert 1_900_000 < min(means_ns) < 4_000_000  # a busy machine makes some of them longer
    assert (told.rail, told.quality, told.gain_ppm, told.offset_uw) == ("5 V", "coarse", 10_000, None)
    assert told.t_ns[0] < before[0] + 180_000_000
    assert told.t_ns[-1] > after[1] - 180_000_000
    inside = sum(ran.start_ns <= t_ns <= ran.end_ns for t_ns in told.t_ns)
    assert inside + told.missed >= 45
    assert (absent.t_ns, "/dev/i2c-1" in absent.note) == ((), True)
    assert launched.latency_ns == ()


def test_a_pair_is_watched_as_a_whole(agent, tmp_path):
    side = replace(
        LAUNCH, mode="turns", model_sha256=agent.store(sleep_model(latency_us=1000)), idle_ns=200_000_000,
        meters=(use("replay", path=recording(tmp_path, 60)),), timed_max_runs=5000,
    )  # fmt: skip
    pair = wire.Pair(side, side, "AB", ("ABBA",), 100_000_000, 5, 1000)
    assert isinstance(agent.submit(pair), wire.Accepted)
    job_id = agent.last_job
    agent.write(wire.encode(wire.Follow(job_id, 0)))
    paired = agent.until(wire.Paired, wire.LaunchFailed)
    assert isinstance(paired, wire.Paired), paired
    (before, after), (trace,) = paired.idle, paired.power
    assert before[1] <= paired.blocks[0].start_ns
    assert paired.blocks[-1].end_ns <= after[0]
    assert trace.t_ns[0] < before[0] + 180_000_000
    assert trace.t_ns[-1] >= after[1] - 180_000_000


def test_every_meter_of_the_table_is_tried_here():
    tried = {"jetson_ina3221", "pi5_pmic", "rapl", "replay", "ina228", *CHIPS}
    assert set(METERS) == tried
