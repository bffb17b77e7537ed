"""Did this checkout become slower or larger than another one?

    .venv/bin/python benchmarks/product/two_checkouts.py OTHER [--repeats 20] [--demo [REPEATS]]

OTHER is another checkout with a .venv of its own. Compared are `edgepress --help`, the first answer of an agent that is on the board
already (over a real sshd), the size of the agent, and with --demo the example, run from nothing (minutes each time).

The machine may be shared: the two checkouts are measured alternately, and each ratio is the median of the ratios of the rounds, with its
95 % interval. The quickest times of both are printed, too.
"""

import argparse
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.loopback import loopback_board
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT, change, results
from pipeline.statistics.order import ENOUGH, median_interval
from targets.inventory import Target

REPEATS, DEMO_REPEATS = 20, 2
ANSWERS = 5  # connections in one process: the first one pushes the agent or imports, and is not counted
FIRST_ANSWER = f"""
import json, statistics, sys, msgspec
from targets import open_session
from targets.inventory import Target
target = msgspec.convert(json.load(sys.stdin), Target)
times = []
for _ in range({ANSWERS + 1}):
    with open_session(target) as session:
        times.append(session.first_answer_s)
print(statistics.median(times[1:]))
"""
BUNDLE = "from targets import bundle; print(len(bundle.bundle()[0]))"


def main() -> None:
    given = arguments()
    print(describe())
    with results(__file__) as add:
        compare(add, "edgepress --help", help_s, given.other, 2 * given.repeats)
        with loopback_board() as board:
            first_answer = functools.partial(first_answer_s, board=board)
            compare(add, "first answer of the agent", first_answer, given.other, given.repeats)
        compare_sizes(add, given.other)
        if given.demo:
            stages: dict[Path, list[dict[str, float]]] = {ROOT: [], given.other: []}
            compare(add, "the example", functools.partial(example_s, stages=stages), given.other, given.demo)
            say_stages(stages[ROOT], stages[given.other])
    print(f"load average at the end {os.getloadavg()[0]:.1f}")


def arguments() -> argparse.Namespace:
    parser = command.parser(__doc__)
    parser.add_argument("other", metavar="OTHER", type=lambda path: Path(path).resolve())
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"rounds; {REPEATS} by default")
    parser.add_argument(
        "--demo", type=int, nargs="?", const=DEMO_REPEATS, default=0, metavar="REPEATS", help="the example, too"
    )
    given = parser.parse_args()
    if not (given.other / ".venv/bin/edgepress").exists():
        parser.error(f"{given.other} is not a checkout with a .venv: run `make setup` there")
    return given


def python(checkout: Path, code: str, text: str = "") -> str:
    """Return what this code prints when that checkout's own modules run it."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    run = [checkout / ".venv/bin/python", "-c", code]
    done = subprocess.run(run, cwd=checkout, env=environment, input=text, check=True, capture_output=True, text=True)
    return done.stdout


def help_s(checkout: Path) -> float:
    began = time.perf_counter()
    subprocess.run([checkout / ".venv/bin/edgepress", "--help"], check=True, capture_output=True)
    return time.perf_counter() - began


def first_answer_s(checkout: Path, board: Target) -> float:
    """Return the median of some connections; each checkout has a folder of its own on the board."""
    side = "here" if checkout == ROOT else "there"
    target = msgspec.structs.replace(board, root=f"{board.root}-{side}")
    return float(python(checkout, FIRST_ANSWER, json.dumps(msgspec.to_builtins(target))))


def example_s(checkout: Path, stages: dict[Path, list[dict[str, float]]]) -> float:
    """Return how long the example takes. `stages` gets what each of its stages takes, in s."""
    with tempfile.TemporaryDirectory() as folder:
        example = Path(folder) / "example"
        ignored = shutil.ignore_patterns(".edgepress", "out", "__pycache__")
        shutil.copytree(checkout / "examples/fashion_mnist", example, ignore=ignored)
        began = time.perf_counter()
        run = [checkout / ".venv/bin/edgepress", "run", example / "edge.toml", "--json"]
        done = subprocess.run(run, check=True, capture_output=True)
        took = time.perf_counter() - began
        stages[checkout].append({each["stage"]: each["seconds"] for each in json.loads(done.stdout)["stages"]})
        return took


def say_stages(here: Sequence[dict[str, float]], there: Sequence[dict[str, float]]) -> None:
    """Print the quickest of each stage: where a difference comes from."""
    quickest = (tuple(min(each[stage] for each in side) for side in (here, there)) for stage in here[0])
    words = (f"{stage} {ours:.1f} and {theirs:.1f} s" for stage, (ours, theirs) in zip(here[0], quickest, strict=True))
    print(f"its stages, the quickest here and there: {', '.join(words)}", flush=True)


def compare(add, what: str, measure: Callable[[Path], float], other: Path, repeats: int) -> None:
    """Measure both checkouts alternately; print and keep both medians and their ratio."""
    times: dict[Path, list[float]] = {ROOT: [], other: []}
    for number in range(repeats):
        for checkout in (ROOT, other) if number % 2 else (other, ROOT):
            times[checkout].append(measure(checkout))
    here, there = times[ROOT], times[other]
    ratio, low, high = ratio_of(here, there)
    spread = f"{low:.3f} to {high:.3f}, {'95 %' if repeats >= ENOUGH else 'range'}, {repeats} rounds"
    print(
        f"{what}: {statistics.median(here):.3f} s here, {statistics.median(there):.3f} s there, "
        f"ratio {ratio:.3f} ({spread}); "
        f"quickest {min(here):.3f} s and {min(there):.3f} s, ratio {min(here) / min(there):.3f}",
        flush=True,
    )
    add("here", round(statistics.median(here), 3), "s", of=what)
    add("there", round(statistics.median(there), 3), "s", of=what)
    add("here against there", *change(1 / ratio), of=what, note=f"ratio {ratio:.3f} ({spread})")


def ratio_of(here: Sequence[float], there: Sequence[float]) -> tuple[float, float, float]:
    """Return the median of here / there over the rounds, and its 95 % interval."""
    ratios = np.array(here) / np.array(there)
    low, high = median_interval(ratios)
    return float(np.median(ratios)), low, high


def compare_sizes(add, other: Path) -> None:
    here, there = (int(python(checkout, BUNDLE)) for checkout in (ROOT, other))
    print(f"the agent: {here:,} bytes here, {there:,} bytes there, ratio {here / there:.3f}")
    add("size here", here, "bytes", of="the agent", note=f"ratio {here / there:.3f}")
    add("size there", there, "bytes", of="the agent")


if __name__ == "__main__":
    main()
