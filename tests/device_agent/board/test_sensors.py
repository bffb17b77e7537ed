"""Sensors and programs of a board that block, fail or tell no number."""

import math
import os
import subprocess
import time
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.board import conditions, machine, memory, procfs
from tests.support.agent_process import wait_until
from tests.support.timing import quickest_s


def content(path):
    try:
        return path.read_bytes()
    except OSError:  # a process that has just ended
        return b""


def one_zone(root, kind="gpu-thermal"):
    zone = root / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text(kind + "\n")
    return zone / "temp"


def test_a_zone_that_blocks_costs_its_time_once_and_hides_no_other(board, monkeypatch):
    """Two zones of this tree are pipes without a writer, which block whoever opens them; one of them is known by its name."""
    board("agx_orin")
    monkeypatch.setattr(procfs, "LIMIT_S", 0.5)

    def observe():
        assert conditions.observe().temperature_mc == 47218

    assert quickest_s(observe, below_s=math.inf) >= 0.5
    assert quickest_s(observe, below_s=0.4) < 0.4
    assert len(procfs._silent) == 1


def test_whoever_asks_for_a_sensor_that_blocks_lives_and_can_end(start, tmp_path):
    """The real agent: it answers, goes on, and its end leaves no process that holds its files."""
    root = tmp_path / "tree"
    os.mkfifo(one_zone(root))
    agent = start(env={"EDGEPRESS_FS_ROOT": str(root)})
    began = time.monotonic()
    assert agent.ask(wire.Observe()).temperature_mc is None
    assert agent.ask(wire.Observe()).temperature_mc is None
    assert procfs.LIMIT_S <= time.monotonic() - began < 2 * procfs.LIMIT_S
    assert agent.end() == 0
    wait_until(
        lambda: not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(root).encode() in content(path)]
    )


def test_a_program_that_blocks_is_not_asked_again(board, tmp_path, monkeypatch):
    monkeypatch.setattr(procfs, "LIMIT_S", 0.3)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/vcgencmd"
    program.write_text("#!/bin/sh\necho $1 >> ${0%/*}/log\nexec /bin/sleep 30\n")
    program.chmod(0o755)
    board(tmp_path)
    assert [conditions.observe().throttle_flags for _ in range(3)] == [None] * 3
    assert sorted((tmp_path / "bin/log").read_text().split()) == ["get_throttled", "pmic_read_adc"]


def test_no_process_can_be_started(board, monkeypatch):
    """A board at its limit of processes tells less; it does not fail."""
    board("pi5")

    def refuse(*_, **__):
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    told = conditions.observe()
    assert (told.temperature_mc, told.throttle_flags, told.cpu_khz) == (None, None, 2400000)


@pytest.mark.parametrize("said", ["", "\n", "12 34", "0x10", "nan", "9" * 5000, "\0" * 10, "\u0663", "1.5"])
def test_a_sensor_that_tells_no_number(board, tmp_path, said):
    one_zone(tmp_path).write_text(said)
    board(tmp_path)
    assert conditions.observe().temperature_mc is None


def test_what_is_not_a_number_in_proc_is_nothing(board, tmp_path):
    (tmp_path / "proc/pressure").mkdir(parents=True)
    (tmp_path / "proc/loadavg").write_text("1.2.3 " + "9" * 400 + "\n")
    (tmp_path / "proc/pressure/cpu").write_text(f"some avg10={'9' * 400}.00 avg60=0\n")
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: {'9' * 30} kB\nMemAvailable: -5 kB\n")
    board(tmp_path)
    told = conditions.observe()
    assert (told.load_average_milli, told.cpu_pressure_centi, told.available_bytes) == (None, None, None)
    assert machine.describe().memory_bytes == 0


def test_a_placeholder_is_no_temperature(board, tmp_path):
    temp = one_zone(tmp_path)
    temp.write_text("-256000\n")
    board(tmp_path)
    assert conditions.observe().temperature_mc is None
    temp.write_text("-5000\n")  # a board in the cold is real
    assert conditions.observe().temperature_mc == -5000


def test_groups_of_cores_with_two_governors(board, tmp_path):
    for core, name in ((0, "ondemand"), (1, "ondemand"), (4, "performance")):
        path = tmp_path / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"
        path.parent.mkdir(parents=True)
        path.write_text(name + "\n")
    board(tmp_path)
    assert procfs.governor() == "ondemand+performance"


def test_a_pc_tells_by_dmi_and_arm_ids_are_the_last_resort(board, tmp_path):
    (tmp_path / "sys/class/dmi/id").mkdir(parents=True)
    (tmp_path / "sys/class/dmi/id/sys_vendor").write_text("Acme\n")
    (tmp_path / "sys/class/dmi/id/product_name").write_text("Box 1\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n")
    board(tmp_path)
    assert machine.describe().model == "Acme Box 1"
    assert machine.describe().cpu == "implementer 0x41 part 0xd0b"


def test_a_machine_that_tells_nothing_is_no_error(board, tmp_path):
    board(tmp_path)
    told = machine.describe()
    assert (told.model, told.cpu, told.os, told.memory_bytes, told.cpu_max_khz, told.governor) == (
        "",
        "",
        "",
        0,
        None,
        None,
    )
    observed = conditions.observe()
    told_always = {"t_ns", "wall_offset_ns", "cores", "own_us", "busiest", "busiest_us"}
    assert {name for name, value in vars(observed).items() if value is not None} == told_always
    assert (observed.cores, observed.busiest, observed.busiest_us) == ((), "", 0)
    assert memory.snapshot("python") == wire.MemoryStep("python", None, None, None, None, None)


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("echo throttled=0x50005", 0x50005),
        ("echo throttled=0x0", 0),
        ("echo 'VCHI initialization failed'; exit 1", None),
        ("echo error=1", None),
        ("echo throttled=0xfffffffffffffffffffffff", None),
    ],
)
def test_vcgencmd(board, tmp_path, script, flags):
    program = tmp_path / "bin" / "vcgencmd"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n" + script + "\n")
    program.chmod(0o755)
    board(tmp_path)
    assert conditions.observe().throttle_flags == flags
