"""The emulated machine itself: built, booted as two kinds of board, measured on, reset, switched off.

Where QEMU is installed, each run builds and boots it once; the rest takes minutes (`make test-slow`).
"""

import contextlib
import subprocess
import time
from pathlib import Path

import pytest

from pipeline.deploy import board_facts
from targets import inventory, open_session, provision
from targets.errors import EmulatorNotRunning, EmulatorUnavailable, JobEnded
from targets.virtual.emulated import build, machine
from tests.support.commands import edgepress
from tests.support.sessions import MODEL, SHA, launch, until_timed

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module", autouse=True)
def needed():
    try:
        build.program("qemu-system-aarch64")
        build._release()
    except EmulatorUnavailable as error:
        pytest.skip(f"{error.message}. {error.hint}")
    yield
    machine.stop(print)


@pytest.fixture
def pi(needed):
    """A Raspberry Pi 4, booted where none runs."""
    if (state := machine.running()) and state.kind != "raspberry_pi_4":
        machine.stop(print)
    return machine.start("raspberry_pi_4", print)


def target():
    return inventory.find("virtual-aarch64", Path())


def ssh(*command, user="edge", check=True):
    """By OpenSSH, with the pinned key and no other: a second opinion on the way in."""
    here = machine.located(target())
    done = subprocess.run(
        ["ssh", "-F", "none", "-i", here.key, "-p", str(here.port), "-o", f"UserKnownHostsFile={here.known_hosts}",
         "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30", f"{user}@127.0.0.1", *command],
        capture_output=True, text=True, check=check, timeout=120,
    )  # fmt: skip
    return done.stdout.strip()


def boot_id():
    return ssh("cat", "/proc/sys/kernel/random/boot_id")


@pytest.mark.parametrize(
    ("kind", "model", "cpu"),
    [
        ("raspberry-pi-4", "Raspberry Pi 4 Model B Rev 1.4", "cortex-a72"),
        pytest.param(
            "jetson-orin-nano", "NVIDIA Jetson Orin Nano Developer Kit", "cortex-a76", marks=pytest.mark.whole
        ),
    ],
)
def test_the_command_boots_it_and_check_says_what_it_is(kind, model, cpu):
    machine.stop(print)
    started = edgepress("boards", "start", "virtual-aarch64", "--as", kind)
    assert started.returncode == 0, started.stderr
    assert f"runs as {kind}" in started.stdout
    assert "timings are of the emulator" in started.stdout
    checked = edgepress("boards", "check", "virtual-aarch64")
    assert checked.returncode == 0, checked.stderr
    for needed in (model, cpu, "Debian GNU/Linux", "Python 3.", "glibc 2."):
        assert needed in checked.stdout


@pytest.mark.whole
def test_what_a_user_of_a_board_meets(pi):
    assert ssh("id", "-un") == "edge"
    assert ssh("pwd") == "/home/edge"
    assert ssh("uname", "-m") == "aarch64"
    assert ssh("cat", "/proc/device-tree/compatible").split("\0")[:2] == ["raspberrypi,4-model-b", "brcm,bcm2711"]
    assert abs(int(ssh("date", "+%s")) - time.time()) < 5
    assert ssh("python3", "-m", "pip", "--version", check=False) == ""
    assert ssh("ls", "/nowhere", check=False) == ""
    assert ssh("touch", "/etc/x", check=False) == ""
    assert "x" not in ssh("ls", "/etc").split()
    assert ssh("timeout 5 bash -c 'echo > /dev/tcp/10.0.2.2/22' 2> /dev/null; echo $?") != "0"  # it reaches nobody


@pytest.mark.whole
def test_orphans_are_reaped_as_on_any_system(pi):
    """Else a job that ended would look alive for ever."""
    assert ssh("(setsid sleep 0.5 &); sleep 2; ps -eo stat | grep -c ^Z", check=False) == "0"


@pytest.mark.whole
def test_the_agent_runs_there_and_gives_it_a_runtime(pi):
    with open_session(target()) as session:
        assert (session.machine.arch, session.machine.bits) == ("aarch64", 64)
        assert board_facts(session.machine, target()).emulated
        assert provision.possible(session.machine)
        assert session.observe().available_bytes > 0


@pytest.mark.whole
def test_a_reset_is_a_power_cut_what_was_not_written_out_is_lost(pi):
    before = boot_id()
    ssh("echo kept > kept; sync")
    with open_session(target()) as session:  # a connection that gets no farewell
        ssh("echo lost > lost")
        machine.reset()
        machine.wait_until_up(pi)
        with contextlib.suppress(Exception):
            session.observe()
    assert boot_id() != before
    assert ssh("cat kept") == "kept"
    assert ssh("cat", "lost", check=False) == ""
    assert abs(int(ssh("date", "+%s")) - time.time()) < 5


@pytest.mark.whole
def test_reboot_and_poweroff_of_its_own_work(pi):
    before = boot_id()
    ssh("sh", "-c", "'echo orderly > orderly'")
    ssh("reboot", user="root", check=False)
    deadline = time.monotonic() + machine.BOOT_LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.SubprocessError):
            if boot_id() != before:
                break
    assert boot_id() != before
    assert ssh("cat orderly") == "orderly"  # it was unmounted in order: nothing is lost
    ssh("poweroff", user="root", check=False)
    deadline = time.monotonic() + 60
    while machine.running() and time.monotonic() < deadline:
        time.sleep(0.2)
    with pytest.raises(EmulatorNotRunning):
        machine.located(target())


@pytest.mark.whole
def test_its_disk_is_kept_from_one_start_to_the_next_and_fresh_makes_it_empty(pi):
    ssh("echo kept > kept; sync")
    assert machine.stop(print)
    machine.start("raspberry_pi_4", print)
    assert ssh("cat kept") == "kept"
    assert machine.stop(print)
    machine.start("raspberry_pi_4", print, fresh=True)
    assert ssh("cat", "kept", check=False) == ""


@pytest.mark.whole
def test_a_job_that_a_reset_ended_is_called_lost_within_half_a_minute(pi):
    launches = (launch(timed_min_ns=600 * 10**9, timed_max_runs=10**6, timeout_ns=900 * 10**9),)
    with open_session(target()) as session:
        session.put(MODEL, SHA)
        job_id = session.submit(launches, "test")
        until_timed(session, job_id)
        machine.reset()
        began = time.monotonic()
        with pytest.raises(JobEnded, match="restarted"):
            list(session.follow(job_id))
        assert time.monotonic() - began < 30
        session.forget(job_id)
