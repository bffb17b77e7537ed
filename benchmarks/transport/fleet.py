"""How long does it take until 200 boards are connected and have answered, and what does a dead one cost the others?

    .venv/bin/python benchmarks/transport/fleet.py [BOARDS]

One sshd imitates the boards, so both ends of every key exchange run on this machine. A board has answered when a program there has printed.
For comparison: paramiko as it comes (SSHClient, the same number of threads, no dead board), and an agent started on each board, which
measures how fast this machine starts Python.
"""

import contextlib
import resource
import socket
import sys
import time
from pathlib import Path

import msgspec
import paramiko

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.loopback import loopback_board
from benchmarks._support.machine import describe
from benchmarks._support.results import results
from targets import fleet
from targets.errors import TargetError
from targets.ssh import SshLink

OPEN_FILES = 4096


def by_edgepress(target):
    link = SshLink(target)
    assert link.start(["echo", "here"]).receive(100, 60) == b"here\n"
    return link, time.monotonic()


def by_paramiko(target):
    client = paramiko.SSHClient()
    client.load_host_keys(target.known_hosts)
    client.connect(
        target.host, target.port, target.user, key_filename=target.key, allow_agent=False, look_for_keys=False
    )
    _, out, _ = client.exec_command("echo here")
    assert out.read() == b"here\n"
    return client, time.monotonic()


def run(add, name, connect, targets):
    began = time.monotonic()
    answers = [answer for _, answer in fleet.side_by_side(targets, connect)]
    good = [answer for answer in answers if not isinstance(answer, TargetError)]
    last_s = max(at for _, at in good) - began
    print(
        f"{name}: {len(good)} of {len(targets)} connected and answered after {last_s:.1f} s ({len(good) / last_s:.0f} a second)"
    )
    add(f"{len(targets)} boards: connected and answered", round(last_s, 1), "s", of=name)
    for answer in answers:
        if isinstance(answer, TargetError):
            print(f"  the dead one: {answer.message}; everything ended after {time.monotonic() - began:.1f} s")
    began, cpu = time.monotonic(), time.process_time()
    time.sleep(5)
    print(f"  idle, all open: {100 * (time.process_time() - cpu) / (time.monotonic() - began):.1f} % of a CPU")
    for link, _ in good:
        link.close()


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("boards", metavar="BOARDS", type=int, nargs="?", default=200)
    count = parser.parse_args().boards
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, OPEN_FILES), hard))
    print(describe())
    with results(__file__) as add, contextlib.ExitStack() as stack:
        one = stack.enter_context(loopback_board("MaxStartups 1000", "MaxSessions 1000"))
        hole = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        alive = [msgspec.structs.replace(one, name=f"pi{number}") for number in range(count)]
        with_dead = [*alive[:3], msgspec.structs.replace(alive[3], port=hole.getsockname()[1]), *alive[4:]]
        run(add, "edgepress, one of them dead", by_edgepress, with_dead)
        run(add, "paramiko as it comes, none dead", by_paramiko, alive)
        began = time.monotonic()
        answers = fleet.check_all(with_dead)
        good = sum(answer.failed is None for _, answer in answers)
        took_s = time.monotonic() - began
        print(f"boards check, agents started: {good} of {count} after {took_s:.1f} s")
        add(f"{count} boards, one of them dead: an agent started on each", round(took_s, 1), "s")


if __name__ == "__main__":
    main()
