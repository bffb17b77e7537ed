"""How long does a round trip over SSH take with edgepress's link, and how long with paramiko as it comes (SSHClient defaults)?

    .venv/bin/python benchmarks/transport/link.py

Measured on the loopback: a program that starts and ends (exec of `true`), and messages of 20 B to 40 kB to a program that sends each line
back. The two clients alternate in one run.
"""

import statistics
import sys
import time
from pathlib import Path

import paramiko

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.loopback import loopback_board
from benchmarks._support.machine import describe
from benchmarks._support.results import results
from targets.ssh import SshLink

ROUNDS = 5  # the two clients alternate, because other load on the machine comes and goes
EXECS, MESSAGES, CONNECTS = 15, 15, 4
SIZES = (20, 4_000, 40_000)
ECHO = "import sys\nfor line in sys.stdin.buffer:\n sys.stdout.buffer.write(line)\n sys.stdout.buffer.flush()"


class Edgepress:
    name = "edgepress"

    def __init__(self, target):
        self.link = SshLink(target)

    def exec(self):
        channel = self.link.start(["true"])
        assert channel.finish(30) == 0
        channel.close()

    def open_echo(self):
        self.channel = self.link.start(["python3", "-uc", ECHO])

    def send(self, data):
        view = memoryview(data)
        while view:
            view = view[self.channel.send(view, 60) :]

    def receive(self):
        return self.channel.receive(1 << 16, 60)

    def close(self):
        self.link.close()


class Paramiko:
    name = "paramiko as it comes"

    def __init__(self, target):
        self.client = paramiko.SSHClient()
        self.client.load_host_keys(target.known_hosts)
        self.client.connect(
            target.host, target.port, target.user, key_filename=target.key, allow_agent=False, look_for_keys=False
        )

    def exec(self):
        _, out, _ = self.client.exec_command("true")
        assert out.channel.recv_exit_status() == 0

    def open_echo(self):
        transport = self.client.get_transport()
        assert transport is not None
        self.channel = transport.open_session()
        self.channel.exec_command(f"python3 -uc '{ECHO}'")

    def send(self, data):
        self.channel.sendall(data)

    def receive(self):
        return self.channel.recv(1 << 16)

    def close(self):
        self.client.close()


def seconds(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def echo(link, size):
    link.send(b"x" * (size - 1) + b"\n")
    received = 0
    while received < size:
        received += len(link.receive())


def main() -> None:
    command.parser(__doc__).parse_args()
    print(describe())
    times = {(kind.name, what): [] for kind in (Edgepress, Paramiko) for what in ("connect", "exec", *SIZES)}
    with loopback_board() as target:
        for _ in range(ROUNDS):
            for kind in (Edgepress, Paramiko):
                for _ in range(CONNECTS):
                    times[kind.name, "connect"].append(seconds(lambda kind=kind: kind(target).close()))
                link = kind(target)
                times[kind.name, "exec"] += [seconds(link.exec) for _ in range(EXECS)]
                link.open_echo()
                echo(link, 20)  # Python has started there
                for size in SIZES:
                    times[kind.name, size] += [
                        seconds(lambda size=size, link=link: echo(link, size)) for _ in range(MESSAGES)
                    ]
                link.close()
    names = {"connect": "connected", "exec": "a program started and ended"}
    with results(__file__) as add:
        for what in ("connect", "exec", *SIZES):
            name = names[what] if isinstance(what, str) else f"{what:,} B there and back"
            medians = {kind.name: 1000 * statistics.median(times[kind.name, what]) for kind in (Edgepress, Paramiko)}
            print(f"{name}: median {', '.join(f'{each} {took:.2f} ms' for each, took in medians.items())}")
            for each, took in medians.items():
                add(name, round(took, 2), "ms", of=each)


if __name__ == "__main__":
    main()
