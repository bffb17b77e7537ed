"""What does a CPU quota do to timings?

    .venv/bin/python benchmarks/latency/cpu_quota.py

Times blocks of 6 ms of work on a virtual board with a whole CPU and on one with half a CPU. Needs writable control groups
(docs/virtual-boards.md).
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.machine import describe
from benchmarks._support.results import results
from targets import inventory
from targets.shape import Shape
from targets.virtual.loopback import loopback_sshd

ROUNDS, BLOCKS, BLOCK_S = 3, 300, 0.006
LONG_S = 0.040  # a longer block was stopped: the quota's pause is 50 ms of each 100 ms
BLOCKS_CODE = f"""
import json, time
def block(count):
    began = time.perf_counter()
    total = 0
    for i in range(count):
        total += i * i
    return time.perf_counter() - began
count = int(10_000 * {BLOCK_S} / min(block(10_000) for _ in range(50)))
print(json.dumps([block(count) for _ in range({BLOCKS})]))
"""


def times_on(shape: Shape) -> list[float]:
    with loopback_sshd(msgspec.structs.replace(inventory.find("virtual", Path()), virtual=shape)) as board:
        options = [
            "-F",
            "none",
            "-i",
            board.key,
            "-p",
            str(board.port),
            "-o",
            f"UserKnownHostsFile={board.known_hosts}",
        ]
        there = f"{shlex.quote(sys.executable)} -c {shlex.quote(BLOCKS_CODE)}"
        run = ["ssh", *options, f"{board.user}@127.0.0.1", there]
        return sorted(json.loads(subprocess.run(run, check=True, capture_output=True).stdout))


def main() -> None:
    command.parser(__doc__).parse_args()
    print(describe())
    with results(__file__) as add:
        measure(add)


def measure(add) -> None:
    for number in range(ROUNDS):  # alternately, so that other load on the machine meets both
        for name, shape in (("a whole CPU ", Shape()), ("half a CPU  ", Shape(cpu=0.5))):
            times = times_on(shape)
            median, p90, p99 = (1000 * times[int(part * BLOCKS)] for part in (0.5, 0.9, 0.99))
            stopped = sum(each > LONG_S for each in times) / BLOCKS
            case = f"{name.strip()}, round {number + 1}"
            add("a block of 6 ms, median", round(median, 1), "ms", of=case)
            add("99 %", round(p99, 1), "ms", of=case)
            add("blocks above 40 ms", round(100 * stopped, 1), "%", of=case)
            print(
                f"{name} median {median:5.1f} ms, 90 % {p90:5.1f} ms, 99 % {p99:5.1f} ms, above 40 ms: {stopped:6.1%}"
            )


if __name__ == "__main__":
    main()
