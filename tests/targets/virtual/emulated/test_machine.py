"""The state, the start and the end of the emulated machine, with a program in QEMU's place that is quick to start."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading

import msgspec
import pytest

from pipeline.deploy import connect
from pipeline.plan import Plan
from pipeline.plan_tables import BoardTable, ModelTable, Tables
from targets import inventory, open_session
from targets.errors import EmulatorNotRunning, EmulatorUnavailable
from targets.virtual.emulated import build, machine
from targets.virtual.emulated.machine import State
from tests.support.commands import edgepress


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
        lambda: connect(plan, told.append).__enter__(),
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


def test_a_reset_that_qemu_does_not_obey_is_told(home, process):
    write(home, state_of(process))
    with pytest.raises(EmulatorUnavailable, match="cannot be reset"):
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
