"""How large is the agent, how soon does it give its first answer, and which Python versions does it run under?

    .venv/bin/python benchmarks/transport/agent.py

Over a real sshd. The first answer is the time from the authenticated connection to the agent's hello. The link of 20 ms is made of two
network namespaces and needs root. The time of a program that does nothing (`true`) is measured alternately with it: that is what the login
shell and sshd take.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.loopback import loopback_board
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT, results
from benchmarks._support.wan import wan_link
from device_agent import wire
from targets import bundle, inventory, open_session
from targets.errors import TargetError
from targets.ssh import SshLink

VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
RUNS = 11
IN_A_PROCESS = """
import json, sys, msgspec
from benchmarks.transport.agent import first_answers
from targets.inventory import Target
print(json.dumps(first_answers(msgspec.convert(json.load(sys.stdin), Target))))
"""


def interpreters():
    """Yield (version, path or None) of each interpreter, found below ~/.pyenv or else on PATH."""
    for version in VERSIONS:
        below = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python{version}"))
        found = str(below[-1]) if below else shutil.which(f"python{version}")
        yield version, found


def first_answers(target) -> tuple[float, float]:
    """Return the medians in ms of the first answer and of `true`, each on a connection of its own, measured alternately."""
    answers, nothing = [], []
    for _ in range(RUNS + 1):
        with open_session(target) as session:
            answers.append(session.first_answer_s)
        link = SshLink(target)
        began = time.perf_counter()
        link.start(["true"]).finish(30)
        nothing.append(time.perf_counter() - began)
        link.close()
    print(
        f"first answer {1000 * statistics.median(answers[1:]):.0f} ms when the agent is there already "
        f"({1000 * min(answers[1:]):.0f} to {1000 * max(answers[1:]):.0f}), `true` {1000 * statistics.median(nothing[1:]):.0f} ms "
        f"(medians of {RUNS}, measured alternately; load {os.getloadavg()[0]:.1f})",
        flush=True,
    )
    return 1000 * statistics.median(answers[1:]), 1000 * statistics.median(nothing[1:])


def links(add) -> None:
    with loopback_board() as target:
        print("loopback: ", end="", flush=True)
        keep(add, "loopback", *first_answers(target))
    if os.geteuid() != 0:
        print("20 ms: needs root")
        return
    with wan_link(rtt_s=0.020, rate_bit_s=1e9) as link, link.board_sshd() as target:
        print("20 ms round trip, 1 Gbit/s: ", end="", flush=True)
        text = json.dumps(msgspec.to_builtins(target))
        run = link.host_command([sys.executable, "-c", IN_A_PROCESS])
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(run, input=text, text=True, check=True, stdout=subprocess.PIPE, env=environment)
        *lines, medians = done.stdout.splitlines()
        print("\n".join(lines), flush=True)
        keep(add, "20 ms and 1 Gbit/s", *json.loads(medians))


def keep(add, link: str, answer_ms: float, nothing_ms: float) -> None:
    note = f"median of {RUNS}"
    add(f"first answer over SSH, {link}, there already", round(answer_ms), "ms", note=note)
    add(f"`true` over SSH, {link}", round(nothing_ms), "ms", note=note)


def main() -> None:
    command.parser(__doc__).parse_args()
    print(describe())
    with results(__file__) as add:
        links(add)
        size(add)
        versions(add)


def size(add) -> None:
    data, sha256 = bundle.bundle()
    package = Path(wire.__file__).parent
    lines = sum(len(path.read_text().splitlines()) for path in package.rglob("*.py"))
    print(
        f"agent {sha256[:12]}: {len(data):,} bytes pushed, {lines:,} lines in {len(list(package.rglob('*.py')))} files"
    )
    add("the agent, pushed once", round(len(data) / 1000), "kB")
    add("the agent, with comments", lines, "lines")


def versions(add) -> None:
    for version, python in interpreters():
        if python is None:
            print(f"Python {version}: not on this machine")
            continue
        with tempfile.TemporaryDirectory() as root:
            base = inventory.find("virtual", Path())
            target = msgspec.structs.replace(base, python=python, root=f"{root}/board")
            firsts = []
            with contextlib.suppress(TargetError):
                for _ in range(RUNS + 1):
                    with open_session(target) as session:
                        firsts.append(session.first_answer_s)
                        version_there = session.machine.python
            if not firsts:
                print(f"Python {version}: does not start")
                sys.exit(1)
            print(
                f"Python {version_there}: first answer {1000 * firsts[0]:.0f} ms when pushed, "
                f"{1000 * statistics.median(firsts[1:]):.0f} ms when there already (median of {RUNS})"
            )
            add("first answer when pushed", round(1000 * firsts[0]), "ms", of=f"Python {version}")
            there = round(1000 * statistics.median(firsts[1:]))
            add("first answer when there already", there, "ms", of=f"Python {version}", note=f"median of {RUNS}")


if __name__ == "__main__":
    main()
