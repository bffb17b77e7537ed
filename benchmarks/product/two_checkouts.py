"""Did this checkout become slower than another one? `--help`, the first answer of an agent, and the example, by turns.

    .venv/bin/python benchmarks/two_checkouts.py OTHER [REPEATS]

OTHER: another checkout with a .venv of its own. The machine may be shared: each figure is a ratio of two medians that were measured
by turns, and the quickest of each stand beside it. The first answer is that of an agent that is there already, over a real sshd; the
example is run from nothing, once for ten repeats.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support.machine import describe
from benchmarks._support.results import change, results

HERE = Path(__file__).parents[2]
FIRST = """
import json, sys, tempfile
from pathlib import Path
from targets import open_session
from tests.support.own_sshd import own_sshd
with tempfile.TemporaryDirectory() as folder, own_sshd(Path(folder) / "sshd") as target:
    took = []
    for _ in range(6):
        with open_session(target) as session:
            took.append(session.first_answer_s)
    print(json.dumps(took[1:]))
"""


def help_s(checkout):
    began = time.perf_counter()
    subprocess.run([checkout / ".venv/bin/edgepress", "--help"], check=True, capture_output=True)
    return [time.perf_counter() - began]


def first_answers_s(checkout):
    done = subprocess.run(
        [checkout / ".venv/bin/python", "-c", FIRST], cwd=checkout, check=True, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(checkout)},
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def example_s(checkout):
    with tempfile.TemporaryDirectory() as folder:
        example = Path(folder) / "example"
        shutil.copytree(
            checkout / "examples/fashion_mnist", example, ignore=shutil.ignore_patterns(".edgepress", "out")
        )
        began = time.perf_counter()
        subprocess.run(
            [checkout / ".venv/bin/edgepress", "run", example / "edge.toml"], check=True, capture_output=True
        )
        return [time.perf_counter() - began]


def compared(add, what, measure, other, repeats):
    times = {HERE: [], other: []}
    for number in range(repeats):
        for checkout in (HERE, other) if number % 2 else (other, HERE):
            times[checkout] += measure(checkout)
    ours, theirs = times[HERE], times[other]
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(
        f"{what}: {statistics.median(ours):.3f} s here, {statistics.median(theirs):.3f} s there, ratio of the medians {ratio:.2f}; "
        f"quickest {min(ours):.3f} s and {min(theirs):.3f} s, ratio {min(ours) / min(theirs):.2f}; {len(ours)} each",
        flush=True,
    )
    add("here", round(statistics.median(ours), 3), "s", of=what)
    add("there", round(statistics.median(theirs), 3), "s", of=what)
    add("here against there", *change(1 / ratio), of=what, note=f"{len(ours)} each, by turns")


def main():
    other = Path(sys.argv[1]).resolve()
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    print(describe())
    with results(__file__) as add:
        compared(add, "--help", help_s, other, 2 * repeats)
        compared(add, "first answer", first_answers_s, other, repeats)
        compared(add, "the example", example_s, other, max(1, repeats // 10))
    print(f"load average at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
