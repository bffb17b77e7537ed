"""What the agent says about boards, from trees of /proc and /sys (boards/README.md), and about this machine."""

import mmap
import os
import sys
import time
from pathlib import Path

import pytest

from device_agent import conditions, facts, machine, memory, wire
from tests.device_agent.agent_process import wait_until

BOARDS = Path(__file__).parent / "boards"

MACHINES = {
    "pi4": ("Raspberry Pi 4 Model B Rev 1.4", "cortex-a72", "Debian GNU/Linux 12 (bookworm)", 3884360 * 1024, 1800000, "ondemand"),
    "pi5": ("Raspberry Pi 5 Model B Rev 1.0", "cortex-a76", "Debian GNU/Linux 12 (bookworm)", 8256512 * 1024, 2400000, "ondemand"),
    "orin_nano": (
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "cortex-a78", "Ubuntu 22.04.5 LTS",
        7802880 * 1024, 1728000, "schedutil",
    ),
    "jetson_nano": (
        "NVIDIA Jetson Nano Developer Kit", "ARMv8 Processor rev 1 (v8l)", "Ubuntu 18.04.6 LTS", 4059136 * 1024, 1479000, "schedutil",
    ),
}  # fmt: skip
CONDITIONS = {
    "pi4": (52350, 600000, "ondemand", 520, None, 3421000 * 1024),
    "pi5": (48300, 2400000, "ondemand", 0, 123, 7612304 * 1024),
    "orin_nano": (50562, 729600, "schedutil", 1250, 0, 6998000 * 1024),
    "jetson_nano": (27000, 102000, "schedutil", 100, None, 3300000 * 1024),
}


@pytest.fixture
def board(monkeypatch, tmp_path):
    """Make the agent's code see the tree of a board, and no vcgencmd of this machine."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def see(name) -> None:
        monkeypatch.setenv("EDGEPRESS_FS_ROOT", str(BOARDS / name))

    return see


@pytest.mark.parametrize("name", MACHINES)
def test_machine(board, name):
    board(name)
    told = machine.describe()
    assert (told.model, told.cpu, told.os, told.memory_bytes, told.cpu_max_khz, told.governor) == MACHINES[name]


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions(board, name):
    board(name)
    told = conditions.observe()
    fields = (
        told.temperature_mc,
        told.cpu_khz,
        told.governor,
        told.load_average_milli,
        told.cpu_pressure_centi,
        told.available_bytes,
    )
    assert fields == CONDITIONS[name]
    assert told.throttle_flags is None


def test_every_tree_is_used():
    assert {path.name for path in BOARDS.iterdir() if path.is_dir()} == set(MACHINES) == set(CONDITIONS)


def test_a_zone_that_blocks_is_not_even_read(board, tmp_path):
    """The CV zones of an Orin Nano hang whoever reads them. A pipe without a writer does the same."""
    zone = tmp_path / "tree" / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("CV0-therm\n")
    os.mkfifo(zone / "temp")
    board(tmp_path / "tree")
    child = os.fork()
    if child == 0:
        os._exit(0 if conditions.observe().temperature_mc is None else 1)
    ended = []
    try:
        wait_until(lambda: ended or ended.extend(filter(lambda pair: pair[0], [os.waitpid(child, os.WNOHANG)])), 5)
    finally:
        if not ended:
            os.kill(child, 9)
            os.waitpid(child, 0)
    assert ended[0][1] == 0


def test_a_placeholder_is_no_temperature(board, tmp_path):
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("gpu-thermal\n")
    (zone / "temp").write_text("-256000\n")
    board(tmp_path)
    assert conditions.observe().temperature_mc is None
    (zone / "temp").write_text("-5000\n")  # a board in the cold is real
    assert conditions.observe().temperature_mc == -5000


def test_groups_of_cores_with_two_governors(board, tmp_path):
    for core, name in ((0, "ondemand"), (1, "ondemand"), (4, "performance")):
        path = tmp_path / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"
        path.parent.mkdir(parents=True)
        path.write_text(name + "\n")
    board(tmp_path)
    assert facts.governor() == "ondemand+performance"


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
    assert set(vars(observed)) - {name for name, value in vars(observed).items() if value is None} == {"t_ns"}
    assert memory.snapshot("python") == wire.MemoryStep("python", None, None, None)


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("echo throttled=0x50005", 0x50005),
        ("echo throttled=0x0", 0),
        ("echo 'VCHI initialization failed'; exit 1", None),
        ("echo error=1", None),
        ("exec sleep 30", None),
    ],
)
def test_vcgencmd(board, tmp_path, script, flags):
    board("pi5")
    program = tmp_path / "bin" / "vcgencmd"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nPATH=/usr/bin:/bin\n" + script + "\n")
    program.chmod(0o755)
    began = time.monotonic()
    assert conditions.observe().throttle_flags == flags
    assert time.monotonic() - began < 5


def test_a_board_through_the_whole_agent(start):
    agent = start(env={"EDGEPRESS_FS_ROOT": str(BOARDS / "orin_nano")})
    assert agent.hello.machine.model.startswith("NVIDIA Jetson Orin Nano")
    assert agent.ask(wire.Observe()).temperature_mc == 50562


def test_this_machine(agent):
    told = agent.hello.machine
    assert told.cpu_count == len(os.sched_getaffinity(0))
    assert (told.arch, told.kernel) == (os.uname().machine, os.uname().release)
    assert told.bits == (64 if sys.maxsize > 2**32 else 32)
    assert told.python == ".".join(map(str, sys.version_info[:3]))
    assert told.libc in ("glibc", "musl")
    assert told.libc_version[0].isdigit()
    assert told.memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    now = agent.ask(wire.Observe())
    assert 0 < now.available_bytes < told.memory_bytes
    assert now.load_average_milli >= 0


def test_memory_of_this_process_agrees_with_the_kernel():
    before = memory.snapshot("before")
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    block = mmap.mmap(-1, 32 << 20, flags=private)  # fresh pages of the kernel, not what an allocator kept back
    for start in range(0, len(block), mmap.PAGESIZE):
        block[start] = 1
    after = memory.snapshot("after")
    assert 31 << 20 <= after.anonymous_bytes - before.anonymous_bytes <= 34 << 20
    assert memory.peak_bytes() >= after.resident_bytes - (1 << 20)
    block.close()
