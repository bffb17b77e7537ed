"""The start of the emulated machine: what it needs, what it leaves, and what is said when it fails."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from targets import inventory
from targets.errors import EmulatorUnavailable
from targets.virtual.emulated import machine


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
    with pytest.raises(EmulatorUnavailable, match="is already running, as raspberry_pi_4"):
        machine.start("jetson_orin_nano", print)
    assert machine.running() == state
    assert machine.stop(print)
