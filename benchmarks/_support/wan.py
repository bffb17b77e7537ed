"""A link with a delay and a rate between two network namespaces, and an sshd at its far end. Needs root and a C compiler.

    with wan_link(rtt_s=0.020, rate_bit_s=1e9) as link, link.board_sshd() as board:
        subprocess.run(link.host_command(["scp", "-P", str(board.port), "-i", board.key, ...]))

The kernel's own TCP runs from end to end here, unlike with the proxy of targets/virtual, which terminates TCP; so this link is the one for
figures. A Python client that uses the link runs as a process of its own, by `host_command([sys.executable, ...])`.
"""

import contextlib
import dataclasses
import getpass
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from targets.inventory import Target
from targets.virtual.loopback import find_sshd, make_keys, server_config

SOURCE = Path(__file__).with_name("wan_link.c")
HOST_ADDRESS, BOARD_ADDRESS = "10.9.0.1", "10.9.0.2"
START_TIMEOUT_S = 10.0


@dataclasses.dataclass(frozen=True)
class WanLink:
    """Both ends of the link: network namespaces that live as long as it does."""

    host_namespace: str
    board_namespace: str

    def host_command(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs this one at the host's end (10.9.0.1)."""
        return ["nsenter", f"--net={self.host_namespace}", "--", *command]

    def board_command(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs this one at the board's end (10.9.0.2)."""
        return ["nsenter", f"--net={self.board_namespace}", "--", *command]

    @contextlib.contextmanager
    def board_sshd(self) -> Iterator[Target]:
        """Start an sshd with keys of its own on port 22 of the board's end; yield a Target that reaches it from the host's end."""
        sshd = find_sshd()
        if sshd is None:
            raise SystemExit("this machine has no sshd: apt-get install openssh-server")
        with tempfile.TemporaryDirectory(prefix="edgepress-wan-") as name:
            folder = Path(name)
            make_keys(folder)
            config = folder / "sshd_config"
            config.write_text(
                server_config(folder, BOARD_ADDRESS, 22) + "Subsystem sftp internal-sftp\nSetEnv SHLVL=2\n"
            )
            guard = ["setpriv", "--pdeathsig", "TERM", *self.board_command([sshd])]
            process = subprocess.Popen([*guard, "-D", "-f", str(config), "-E", str(folder / "sshd.log")])
            try:
                _wait_for(folder / "sshd.pid", process)  # written when it listens
                kind, key = (folder / "host_key.pub").read_text().split()[:2]
                (folder / "known_hosts").write_text(f"{BOARD_ADDRESS} {kind} {key}\n")
                yield Target(
                    name="wan",
                    host=BOARD_ADDRESS,
                    user=getpass.getuser(),
                    key=str(folder / "user_key"),
                    known_hosts=str(folder / "known_hosts"),
                    python=sys.executable,
                    root=str(folder / "board"),
                    board="this_machine",
                )
            finally:
                process.terminate()
                process.wait()


@contextlib.contextmanager
def wan_link(*, rtt_s: float, rate_bit_s: float, queue_bytes: int | None = None) -> Iterator[WanLink]:
    """Build and start the link. Its queue holds the bytes of one round trip unless `queue_bytes` says otherwise.

    SystemExit says what this machine lacks. The link and its namespaces end with this process, however it ends.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("this machine has no C compiler: apt-get install gcc libc6-dev")
    if queue_bytes is None:
        queue_bytes = int(rate_bit_s / 8 * rtt_s)
    with contextlib.ExitStack() as stack:
        with tempfile.TemporaryDirectory(prefix="edgepress-wan-") as folder:
            program = f"{folder}/wan_link"
            subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", program, str(SOURCE)], check=True)
            arguments = [f"{rtt_s / 2 * 1e6:.0f}", f"{rate_bit_s:.0f}", str(queue_bytes)]
            # A session of its own, so that Ctrl-C at the terminal reaches this process alone, which then ends the link.
            process = subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stderr is not None
            ready = process.stdout.readline().split()
        if len(ready) != 3:
            raise SystemExit(f"the link needs root and /dev/net/tun: {process.stderr.read().strip()}")
        yield WanLink(*(f"/proc/{process.pid}/fd/{descriptor}" for descriptor in ready[1:]))


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"sshd did not start: {(path.parent / 'sshd.log').read_text()}")
        time.sleep(0.01)
