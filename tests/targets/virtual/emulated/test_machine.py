"""The state, the start and the end of the emulated machine, with a program in QEMU's place that is quick to start."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from pipeline.deploy import reach
from pipeline.plan import BoardTable, ModelTable, Plan, Tables
from targets import inventory, open_session
from targets.errors import EmulatorNotRunning, EmulatorUnavailable
from targets.virtual.emulated import build, machine
from targets.virtual.emulated.machine import State
from tests.support.commands import edgepress
from tests.support.device_trees import written

DTB = written(({"model": b"linux,dummy-virt\0", "compatible": b"linux,dummy-virt\0"}, {}))

# Writes what QEMU would, then sleeps in the background; fails as QEMU does while the file "taken" is there.
QEMU = f"""#!{sys.executable}
import pathlib, subprocess, sys
arguments = " ".join(sys.argv)
if "dumpdtb" in arguments:
    pathlib.Path("qemu.dtb").write_bytes({DTB!r})
elif pathlib.Path("taken").exists():
    pathlib.Path("taken").unlink()
    sys.exit("qemu-system-aarch64: Could not set up host forwarding rule 'tcp:127.0.0.1:1-:22'")
elif "-daemonize" in sys.argv:
    pathlib.Path("console.log").write_text("Kernel panic - not syncing")
    pathlib.Path("arguments").write_text(arguments)
    sleeper = subprocess.Popen(["sleep", "600"], stdin=-3, stdout=-3, stderr=-3, start_new_session=True)
    pathlib.Path("pid").write_text(str(sleeper.pid))
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache of its own for the test, with the machine's folder in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache/edgepress/virtual-aarch64/machine"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "0123abcd"
    folder.mkdir()
    for name in ("user_key", "kernel", "initrd.gz", "disk.ext4"):
        (folder / name).write_text(name)
    (folder / "host_key.pub").write_text("ssh-ed25519 AAAA comment\n")
    return build.Image(folder=folder)


@pytest.fixture
def qemu(tmp_path, monkeypatch):
    """The stand-in first in PATH, and stubs of the other programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in build.PROGRAMS:
        (folder / name).write_text("#!/bin/sh\n")
    (folder / "qemu-system-aarch64").write_text(QEMU)
    for path in folder.iterdir():
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture
def process():
    """A process that stands for QEMU."""
    running = subprocess.Popen(["sleep", "600"])
    yield running
    running.kill()
    running.wait()


def state_of(process, **changes):
    made = State(
        kind="raspberry_pi_4",
        port=1,
        pid=process.pid,
        started_ticks=machine.start_ticks(process.pid),
        boot_id=machine._boot_id(),
    )
    return msgspec.structs.replace(made, **changes)


def write(home, state):
    (home / "state.json").write_bytes(msgspec.json.encode(state))


def test_a_machine_that_runs_is_found_by_another_process(home, process):
    write(home, state_of(process, port=2222))
    done = subprocess.run(
        [sys.executable, "-c", "from targets.virtual.emulated import machine; print(machine.running().port)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "2222\n"


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"pid": "x"}', b"\xff" * 100])
def test_a_state_that_can_not_be_read_is_none(home, content):
    if content is not None:
        (home / "state.json").write_bytes(content)
    assert machine.running() is None


@pytest.mark.parametrize("changes", [{"started_ticks": 1}, {"boot_id": "of yesterday"}, {"pid": 2**22 + 1}])
def test_another_process_under_its_number_is_not_taken_for_it_and_not_ended(home, process, changes):
    write(home, state_of(process, **changes))
    assert machine.running() is None
    assert not machine.stop(print)
    assert process.poll() is None


def test_one_that_was_killed_is_not_running_even_before_its_parent_asked(home, process):
    state = state_of(process)
    write(home, state)
    assert machine.running() == state
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table
    assert machine.running() is None


def test_stop_ends_it(home, process):
    write(home, state_of(process))
    assert machine.stop(print)
    assert process.wait(1) == -signal.SIGTERM
    assert not machine.stop(print)


def test_stop_ends_also_what_ignores_sigterm(home, monkeypatch):
    monkeypatch.setattr(machine, "STOP_LIMIT_S", 0.3)
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    stubborn = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    stubborn.stdout.readline()
    write(home, state_of(stubborn))
    assert machine.stop(print)
    assert stubborn.wait(5) == -signal.SIGKILL
    stubborn.stdout.close()


def test_what_is_not_started_says_how_to_start_it(home, tmp_path):
    target = inventory.find("virtual-aarch64", tmp_path)
    plan = Plan(
        path=tmp_path / "edge.toml",
        sha256="0" * 64,
        tables=Tables(model=ModelTable(path="m"), board=BoardTable(name=target.name)),
    )
    told = []
    for attempt in (
        lambda: open_session(target).__enter__(),
        lambda: reach(plan, told.append).__enter__(),
        machine.reset,
    ):
        with pytest.raises(EmulatorNotRunning) as caught:
            attempt()
        assert caught.value.exit_code == 4
        assert "edgepress boards start virtual-aarch64" in caught.value.hint
    assert not told  # no other target was used instead


def test_the_command_that_the_hint_names_exists(home):
    done = edgepress("boards", "check", "virtual-aarch64")
    assert done.returncode == 4
    words = machine.START.split()
    assert machine.START in done.stderr
    assert edgepress(*words[1:], "--help").returncode == 0
    assert edgepress("boards", "stop", "virtual-aarch64").stdout == "virtual-aarch64 did not run\n"
    assert edgepress("boards", "start", "virtual-aarch64", "--as", "toaster").returncode == 2


def test_missing_programs_are_named_with_their_packages(home, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(build, "SYSTEM_FOLDERS", ())
    with pytest.raises(EmulatorUnavailable) as caught:
        machine.start("raspberry_pi_4", print)
    assert all(name in caught.value.message for name in build.PROGRAMS)
    assert all(package in caught.value.hint for package in build.PROGRAMS.values())


def test_booting_leaves_a_state_a_pinned_key_and_a_tree_with_the_boards_name(home, made, qemu):
    state = machine._boot("jetson_orin_nano", made, print, fresh=False)
    try:
        assert machine.running() == state
        located = machine.located(inventory.find("virtual-aarch64", Path()))
        assert (located.port, located.user, located.host) == (state.port, "edge", "127.0.0.1")
        assert Path(located.known_hosts).read_text() == f"[127.0.0.1]:{state.port} ssh-ed25519 AAAA\n"
        assert b"NVIDIA Jetson Orin Nano Developer Kit\0" in (home / "machine.dtb").read_bytes()
        arguments = (home / "arguments").read_text()
        assert f"hostfwd=tcp:127.0.0.1:{state.port}-:22" in arguments
        assert "restrict=on" in arguments
    finally:
        assert machine.stop(print)
    assert machine.running() is None


def test_a_port_that_somebody_took_meanwhile_is_replaced(home, made, qemu):
    (home / "taken").touch()
    machine._boot("raspberry_pi_4", made, print, fresh=False)
    assert not (home / "taken").exists()
    assert machine.stop(print)


def test_another_failure_of_qemu_is_told_and_not_repeated(home, made, qemu, tmp_path):
    (tmp_path / "bin/qemu-system-aarch64").write_text("#!/bin/sh\necho 'no such machine' >&2\nexit 1\n")
    with pytest.raises(EmulatorUnavailable, match="no such machine"):
        machine._boot("raspberry_pi_4", made, print, fresh=False)
    assert machine.running() is None


def test_a_disk_of_another_image_is_not_used_and_a_fresh_one_is_fresh(home, made, qemu):
    (home / "disk-of-old-image.qcow2").touch()
    disk = home / f"disk-{made.folder.name}.qcow2"
    disk.write_text("kept")
    for fresh in (False, True):
        machine._boot("raspberry_pi_4", made, print, fresh=fresh)
        assert machine.stop(print)
        assert not (home / "disk-of-old-image.qcow2").exists()
        assert disk.exists() != fresh  # the stub of qemu-img makes none


def test_no_room_on_the_disk_is_said_before_anything_is_done(home, made, qemu, monkeypatch):
    monkeypatch.setattr(machine, "DISK_BYTES", 1 << 60)
    with pytest.raises(EmulatorUnavailable, match="MiB free"):
        machine._boot("raspberry_pi_4", made, print, fresh=False)


def test_a_boot_that_never_answers_is_ended_and_told_with_the_console(home, made, qemu, monkeypatch):
    monkeypatch.setattr(machine, "BOOT_LIMIT_S", 1.0)
    monkeypatch.setattr(machine, "image", lambda _: made)
    with pytest.raises(EmulatorUnavailable, match=r"did not answer.*Kernel panic"):
        machine.start("raspberry_pi_4", print)
    assert machine.running() is None
    assert machine.start_ticks(int((home / "pid").read_text())) is None


def test_a_machine_that_dies_while_booting_is_told_at_once(home, made, qemu, monkeypatch):
    monkeypatch.setattr(machine, "image", lambda _: made)

    def kill():
        while not (state := machine.running()):
            time.sleep(0.01)
        os.kill(state.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    began = time.monotonic()
    with pytest.raises(EmulatorUnavailable, match="ended while booting"):
        machine.start("raspberry_pi_4", print)
    killer.join()
    assert time.monotonic() - began < 30


def test_start_waits_for_what_the_guest_itself_says(home, made, qemu, monkeypatch):
    """QEMU takes connections long before the guest can: one that is taken and says nothing is not an answer."""
    monkeypatch.setattr(machine, "image", lambda _: made)
    monkeypatch.setattr(machine, "BANNER_LIMIT_S", 0.3)
    answered = []

    def guest():
        while not (state := machine.running()):
            time.sleep(0.01)
        with socket.create_server(("127.0.0.1", state.port)) as server:
            silent, _ = server.accept()
            second, _ = server.accept()
            answered.append(time.monotonic())
            second.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            silent.close()
            second.close()

    thread = threading.Thread(target=guest)
    thread.start()
    state = machine.start("raspberry_pi_4", print)
    assert answered
    thread.join()
    with pytest.raises(EmulatorUnavailable, match="runs already, as raspberry_pi_4"):
        machine.start("jetson_orin_nano", print)
    assert machine.running() == state
    assert machine.stop(print)


def test_a_reset_that_qemu_does_not_obey_is_told(home, process):
    write(home, state_of(process))
    with pytest.raises(EmulatorUnavailable, match="can not be reset"):
        machine.reset()


def test_a_reset_is_asked_for_as_qemu_wants_it(home, process):
    """Events come between the answers; the folder's name may be longer than a socket's may be."""
    write(home, state_of(process))
    asked = []
    server = socket.socket(socket.AF_UNIX)
    folder = os.open(home, os.O_PATH)
    server.bind(f"/proc/self/fd/{folder}/monitor")
    os.close(folder)
    server.listen()

    def qemu():
        connection, _ = server.accept()
        with connection, connection.makefile("rw") as lines:
            lines.write('{"QMP": {}}\n')
            lines.flush()
            for _ in range(2):
                asked.append(re.search(r'"execute": "(\w+)"', lines.readline())[1])
                lines.write('{"event": "NIC_RX_FILTER_CHANGED"}\n{"return": {}}\n')
                lines.flush()

    thread = threading.Thread(target=qemu)
    thread.start()
    machine.reset()
    thread.join()
    server.close()
    assert asked == ["qmp_capabilities", "system_reset"]
