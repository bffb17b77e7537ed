"""Start, find, reset and stop the emulated machine. It outlives the command that starts it, as a board would.

A reset imitates a power cut: the guest loses everything not yet written to its disk, and open connections just stop. It does not
imitate a disk that loses an acknowledged write or tears one (the emulated disk does neither).
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import msgspec

from targets.errors import EmulatorNotRunning, EmulatorUnavailable
from targets.host import start_ticks
from targets.inventory import Target
from targets.virtual.emulated import recipe
from targets.virtual.emulated.build import Image, Say, home, image, locked, program
from targets.virtual.emulated.device_tree import IDENTITIES, Identity, renamed

CORES = 2
CODE_CACHE_MIB = 128  # for translated code: without a limit QEMU grew to 1.26 GB (measured), with it to 0.46 GB
PORT_TRIES = 5
BOOT_LIMIT_S = 300.0  # measured: 8 to 21 s with 2 cores, at a load of 5 to 8
BANNER_LIMIT_S = 3.0
RESET_LIMIT_S = 10.0
STOP_LIMIT_S = 10.0
DISK_BYTES = 512 << 20  # free on the host: what the runtimes and models of a run take on the emulated disk
CONSOLE_TAIL_BYTES = 1500
START = "edgepress boards start virtual-aarch64 --as raspberry-pi-4"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A running machine. The pid alone may be reused by another process."""

    kind: str  # of IDENTITIES
    port: int
    pid: int
    started_ticks: int  # field 22 of /proc/<pid>/stat
    boot_id: str  # of this host


def start(kind: str, say: Say, *, fresh: bool = False) -> State:
    """Boot the machine as that kind of board and wait until its SSH server answers; the image is built first if it is missing.

    Its disk is kept between starts, unless `fresh`. A running machine is left as it is.
    EmulatorUnavailable: it runs as another kind, a program is missing, or it did not boot.
    """
    with locked(say):
        state = running()
        if state is None:
            state = _boot(kind, image(say), say, fresh=fresh)
        elif state.kind != kind:
            raise EmulatorUnavailable(
                f"virtual-aarch64 is already running, as {state.kind}",
                hint="Stop it first: edgepress boards stop virtual-aarch64",
            )
    wait_until_up(state)
    return state


def stop(say: Say) -> bool:
    """End the machine, as if its plug were pulled. Returns whether it was running."""
    with locked(say):
        state = running()
        if state is not None:
            _end(state)
        return state is not None


def reset() -> None:
    """Press its reset button (see above). EmulatorNotRunning, EmulatorUnavailable if QEMU does not obey."""
    _needed()
    folder = os.open(_folder(), os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(RESET_LIMIT_S)
            monitor.connect(f"/proc/self/fd/{folder}/monitor")  # the path itself may be too long for a socket
            with monitor.makefile("rw") as lines:
                lines.readline()  # the greeting
                for command in ("qmp_capabilities", "system_reset"):
                    lines.write(json.dumps({"execute": command}) + "\n")
                    lines.flush()
                    while "return" not in json.loads(lines.readline()):  # events come in between
                        pass
    except (OSError, ValueError) as error:
        raise EmulatorUnavailable(
            f"virtual-aarch64 cannot be reset: {error}", hint="Stop it and start it again."
        ) from error
    finally:
        os.close(folder)


def running() -> State | None:
    """Return the machine if it is running. The state left by a killed QEMU or a rebooted host does not count."""
    try:
        state = msgspec.json.decode((_folder() / "state.json").read_bytes(), type=State)
    except (OSError, ValueError):
        return None
    return state if start_ticks(state.pid) == state.started_ticks and state.boot_id == _boot_id() else None


def located(target: Target) -> Target:
    """Return `target` with the address, the key and the pinned host key of the machine. EmulatorNotRunning."""
    state, folder = _needed(), _folder()
    return msgspec.structs.replace(
        target, port=state.port, user=recipe.USER, key=str(folder / "user_key"), known_hosts=str(folder / "known_hosts")
    )


def wait_until_up(state: State) -> None:
    """Wait for the banner of its SSH server. EmulatorUnavailable after BOOT_LIMIT_S, with the end of its console output."""
    deadline = time.monotonic() + BOOT_LIMIT_S
    while time.monotonic() < deadline and running() == state:
        # QEMU accepts the connection long before the guest can: only data from the guest counts
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", state.port), BANNER_LIMIT_S) as one:
            if one.recv(4) == b"SSH-":
                return
        time.sleep(0.1)
    ended = "ended while booting" if running() != state else f"did not answer within {BOOT_LIMIT_S:.0f} s of its start"
    console = (_folder() / "console.log").read_bytes()[-CONSOLE_TAIL_BYTES:].decode(errors="replace").strip()
    with locked(lambda _: None):
        if running() == state:
            _end(state)
    raise EmulatorUnavailable(
        f"virtual-aarch64 {ended}; its console shows: {console or 'nothing'}",
        hint="Is this machine very busy? Try again; with --fresh if its disk may be full or damaged.",
    )


def _boot(kind: str, made: Image, say: Say, *, fresh: bool) -> State:
    identity, folder = IDENTITIES[kind], _folder()
    folder.mkdir(exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < DISK_BYTES:
        raise EmulatorUnavailable(
            f"{folder} has {free >> 20} MiB free, but the emulated disk may take {DISK_BYTES >> 20} MiB",
            hint="Free space there, or name another folder in XDG_CACHE_HOME.",
        )
    disk = folder / f"disk-{made.folder.name}.qcow2"
    for old in folder.glob("disk-*"):
        if fresh or old != disk:
            old.unlink()
    if not disk.exists():
        _run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(made.disk), str(disk)])
    (folder / "machine.dtb").write_bytes(_device_tree(identity, folder))
    shutil.copy(made.user_key, folder / "user_key")
    say(f"booting an emulated {identity.model} ({identity.cpu}, {CORES} cores, {identity.memory_mib} MiB)")
    pid_file = folder / "pid"
    pid_file.unlink(missing_ok=True)
    try:
        port = _launch(identity, made, disk, folder)
        pid = int(pid_file.read_text())
        state = State(kind=kind, port=port, pid=pid, started_ticks=start_ticks(pid) or 0, boot_id=_boot_id())
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {made.host_key}\n")
        _write_atomically(folder / "state.json", msgspec.json.encode(state))
    except BaseException:  # after Ctrl-C, QEMU may already be in the background
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(pid_file.read_text()), signal.SIGKILL)
        raise
    return state


def _launch(identity: Identity, made: Image, disk: Path, folder: Path) -> int:
    """Start QEMU; it goes into the background once it is set up. Returns the forwarded SSH port."""
    for tries_left in range(PORT_TRIES, 0, -1):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        try:
            _run(
                [
                    *_hardware(identity), "-dtb", "machine.dtb", "-kernel", str(made.kernel), "-initrd", str(made.initrd),
                    "-append", "console=ttyAMA0 quiet mitigations=off",
                    "-drive", f"if=none,id=disk,file={disk.name},format=qcow2,cache=writeback",
                    "-device", "virtio-blk-device,drive=disk",
                    "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22",
                    "-device", "virtio-net-device,netdev=net",
                    "-rtc", "base=utc", "-display", "none", "-serial", "file:console.log",
                    "-qmp", "unix:monitor,server=on,wait=off", "-pidfile", "pid", "-daemonize",
                ],
                folder,
            )  # fmt: skip
        except EmulatorUnavailable as error:
            if tries_left == 1 or "host forwarding" not in error.message:  # another program took the port
                raise
        else:
            break
    return port


def _hardware(identity: Identity) -> list[str]:
    return [
        "qemu-system-aarch64", "-M", "virt,gic-version=2", "-cpu", identity.cpu, "-smp", str(CORES),
        "-m", str(identity.memory_mib), "-accel", f"tcg,thread=multi,tb-size={CODE_CACHE_MIB}", "-nodefaults",
    ]  # fmt: skip


def _device_tree(identity: Identity, folder: Path) -> bytes:
    """Return QEMU's own device tree for this hardware, with the board's names."""
    command = _hardware(identity)
    command[command.index("virt,gic-version=2")] += ",dumpdtb=qemu.dtb"
    _run(command, folder)
    try:
        return renamed((folder / "qemu.dtb").read_bytes(), identity.model, identity.compatible)
    except ValueError as error:
        raise EmulatorUnavailable(
            f"QEMU's device tree cannot be used: {error}", hint="edgepress was tried with QEMU 7.2."
        ) from error


def _end(state: State) -> None:
    """Send SIGTERM, so that QEMU flushes its disk; SIGKILL if that takes too long."""
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(state.pid)
        try:
            if start_ticks(state.pid) == state.started_ticks:  # the descriptor can no longer refer to another process
                signal.pidfd_send_signal(process, signal.SIGTERM)
                if not select.select([process], [], [], STOP_LIMIT_S)[0]:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    select.select([process], [], [], STOP_LIMIT_S)
        finally:
            os.close(process)
    (_folder() / "state.json").unlink(missing_ok=True)


def _needed() -> State:
    state = running()
    if state is None:
        raise EmulatorNotRunning("the board virtual-aarch64 is not running", hint=f"Start it: {START}")
    return state


def _folder() -> Path:
    return home() / "machine"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _run(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(
        [program(command[0]), *command[1:]],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise EmulatorUnavailable(
            f"{command[0]} ended with exit code {done.returncode}: {done.stderr.strip()[-500:] or 'it said nothing'}",
            hint="Run again; report it if it happens twice. edgepress was tried with QEMU 7.2.",
        )


def _write_atomically(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
