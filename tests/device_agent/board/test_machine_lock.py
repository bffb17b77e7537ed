"""One measurement at a time on a machine, whatever its roots; and nothing that another user puts there is believed."""

import fcntl
import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.board import machine_lock
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, sleep_model


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "machine"
    made.mkdir()
    return made


@pytest.fixture
def open_folder():
    """One that other users reach, too: those of pytest are root's alone, and each run of it closes them again."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o1777)
        yield Path(made)


@pytest.fixture
def on(start, tmp_path, folder):
    """on(name): an agent under a root of that name, all on one machine."""
    return lambda name: start(tmp_path / name, env={"EDGEPRESS_LOCK_FOLDER": str(folder)})


def long_job(agent):
    return agent.submit(replace(LAUNCH, model_sha256=agent.store(sleep_model(hang=True)), timeout_ns=10**12))


def short_job(agent):
    return agent.run(replace(LAUNCH, model_sha256=agent.store(sleep_model())))


def test_two_roots_do_not_measure_at_the_same_time(on, tmp_path):
    one, two = on("one"), on("two")
    assert long_job(one).note == ""
    (failure,) = short_job(two)
    assert failure.error == "busy"
    assert "tester has been measuring on this machine for " in failure.message
    assert failure.message.endswith(f"under {tmp_path / 'one'} (job {one.last_job})")
    one.ask(wire.Cancel(one.last_job))
    assert short_job(two)[-1].state == wire.FINISHED
    assert short_job(one)[-1].state == wire.FINISHED


def test_it_is_free_when_the_job_is_killed(on):
    one, two = on("one"), on("two")
    long_job(one)
    os.kill(one.supervisor(), 9)
    one.follow(one.last_job)
    assert short_job(two)[-1].state == wire.FINISHED


@pytest.mark.parametrize(
    "said",
    [b"", b"no JSON", b"[]", b"[" * 4000, b'{"owner": 1}', b'{"owner":"x","job_id":"y","root":"z","since_ns":1e300}',
     b'{"owner":"x","job_id":"y","root":"z","since_ns":99999999999999999999}', b"\xff\xfe"],
)  # fmt: skip
def test_what_another_user_says_there_is_not_believed(on, folder, said):
    with (folder / machine_lock.NAME).open("wb") as file:
        file.write(said)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        (failure,) = short_job(on("one"))
    assert failure.message == "another edgepress is measuring on this machine; its lock does not name the owner"


def test_what_another_user_says_there_is_cleaned_and_cut(on, folder):
    holder = {"owner": "\x1b[2J" + "x" * 3000, "job_id": "\r\nHACKED", "root": "/r", "since_ns": 1}
    with (folder / machine_lock.NAME).open("w") as file:
        json.dump(holder, file)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        (failure,) = short_job(on("one"))
    assert failure.message.isprintable()
    assert len(failure.message) < 700


def as_link(path, target):
    path.symlink_to(target)


def as_second_name(path, target):
    os.link(target, path)


@pytest.mark.parametrize(
    "make", [as_link, as_second_name, lambda path, _: path.mkdir(), lambda path, _: os.mkfifo(path)]
)
def test_what_is_no_file_of_its_own_is_left_alone_and_said(on, folder, tmp_path, make):
    (tmp_path / "precious").write_text("precious")
    make(folder / machine_lock.NAME, tmp_path / "precious")
    agent = on("one")
    accepted = agent.submit(replace(LAUNCH, model_sha256=agent.store(sleep_model())))
    assert accepted.note.startswith("nothing keeps other users of this machine from measuring at the same time: ")
    assert agent.follow(agent.last_job)[-1].state == wire.FINISHED
    assert (tmp_path / "precious").read_text() == "precious"


def test_without_any_folder(on, folder):
    folder.rmdir()
    agent = on("one")
    assert "No such file" in agent.submit(replace(LAUNCH, model_sha256=agent.store(sleep_model()))).note
    assert agent.follow(agent.last_job)[-1].state == wire.FINISHED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_all_users_share_it_whoever_came_first(open_folder, monkeypatch):
    """In a folder like /tmp, where the kernel may forbid to open another's file with O_CREAT (fs.protected_regular)."""
    monkeypatch.setenv(machine_lock.FOLDER_VARIABLE, str(open_folder))
    before = os.umask(0o077)
    try:
        held = machine_lock.take({"owner": "root", "job_id": "j", "root": "/r", "since_ns": 0}, 0)
    finally:
        os.umask(before)
    assert stat.S_IMODE((open_folder / machine_lock.NAME).stat().st_mode) == 0o666
    script = (
        "import fcntl, os, sys; file = os.open(sys.argv[1], os.O_RDWR)\n"
        "try: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\nexcept BlockingIOError: print('busy')\nelse: print('free')"
    )
    command = ["/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable, "-c", script]

    def other_user():
        told = subprocess.run(
            [*command, open_folder / machine_lock.NAME], user=65534, group=65534, extra_groups=[], capture_output=True, text=True, check=True
        )  # fmt: skip
        return told.stdout.strip()

    assert other_user() == "busy"
    os.close(held.descriptor)
    assert other_user() == "free"
    os.chown(open_folder / machine_lock.NAME, 65534, 65534)  # another came first
    held = machine_lock.take({"owner": "root"}, 0)
    assert (held.descriptor is not None, held.note) == (True, "")
    os.close(held.descriptor)


def test_every_user_chooses_the_same_folder():
    assert machine_lock._is_for_all("/tmp")
    assert not machine_lock._is_for_all("/usr")
    assert not machine_lock._is_for_all("/nowhere")
