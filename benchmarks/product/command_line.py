"""How long the command line takes to answer, what the base installation weighs, and what an unchanged run costs.

    .venv/bin/python benchmarks/command_line.py

Each figure is the median of several whole processes.
"""

import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support.machine import describe
from benchmarks._support.results import results

ROOT = Path(__file__).parents[2]
EDGEPRESS = Path(sys.executable).with_name("edgepress")
PLAN = ROOT / "examples" / "fashion_mnist" / "edge.toml"


def seconds_of(*command: str | Path, runs: int) -> float:
    """Median wall time of the whole process."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def base_size_mb() -> float:
    """A fresh virtual environment with the base installation, in megabytes on disk."""
    with tempfile.TemporaryDirectory() as name:
        venv.create(name, with_pip=True)
        command = [f"{name}/bin/python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", ROOT]
        subprocess.run(command, check=True, capture_output=True)
        return (
            sum(path.lstat().st_size for path in Path(name).rglob("*") if path.is_file() and not path.is_symlink())
            / 1e6
        )


def main() -> None:
    print(describe())
    with results(__file__) as add:

        def told(what: str, value: float, unit: str, note: str = "") -> None:
            print(f"{what}: {value:g} {unit}", flush=True)
            add(what, value, unit, note=note)

        median = "median of 11 processes"
        told("edgepress --help", round(seconds_of(EDGEPRESS, "--help", runs=11), 3), "s", median)
        told("`python -c pass`, to compare", round(seconds_of(sys.executable, "-c", "pass", runs=11), 3), "s", median)
        subprocess.run(
            [EDGEPRESS, "deploy", PLAN], check=True, capture_output=True
        )  # so that everything is in the cache
        unchanged = round(seconds_of(EDGEPRESS, "deploy", PLAN, runs=5), 2)
        told("an unchanged plan, all stages before measuring", unchanged, "s", "median of 5 processes")
        told("base installation, with its virtual environment", round(base_size_mb()), "MB")


if __name__ == "__main__":
    main()
