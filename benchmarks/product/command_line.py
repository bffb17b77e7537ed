"""How long does the command line take to answer, how large is the base installation, and what does an unchanged run cost?

    .venv/bin/python benchmarks/product/command_line.py

Each time is the median of several whole processes.
"""

import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT, results

EDGEPRESS = Path(sys.executable).with_name("edgepress")
PLAN = ROOT / "examples" / "fashion_mnist" / "edge.toml"


def seconds_of(*arguments: str | Path, runs: int) -> float:
    """Return the median wall time of the whole process."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(arguments, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def base_size_mb() -> float:
    """Return the size on disk of a fresh virtual environment with the base installation, in megabytes."""
    with tempfile.TemporaryDirectory() as name:
        venv.create(name, with_pip=True)
        install = [f"{name}/bin/python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", ROOT]
        subprocess.run(install, check=True, capture_output=True)
        files = (path for path in Path(name).rglob("*") if path.is_file() and not path.is_symlink())
        return sum(path.lstat().st_size for path in files) / 1e6


def main() -> None:
    command.parser(__doc__).parse_args()
    print(describe())
    with results(__file__) as add:

        def keep(what: str, value: float, unit: str, note: str = "") -> None:
            print(f"{what}: {value:g} {unit}", flush=True)
            add(what, value, unit, note=note)

        median = "median of 11 processes"
        keep("edgepress --help", round(seconds_of(EDGEPRESS, "--help", runs=11), 3), "s", median)
        keep("`python -c pass`, to compare", round(seconds_of(sys.executable, "-c", "pass", runs=11), 3), "s", median)
        subprocess.run([EDGEPRESS, "deploy", PLAN], check=True, capture_output=True)  # fills the store
        unchanged = round(seconds_of(EDGEPRESS, "deploy", PLAN, runs=5), 2)
        keep("an unchanged plan, all stages before measuring", unchanged, "s", "median of 5 processes")
        keep("base installation, with its virtual environment", round(base_size_mb()), "MB")


if __name__ == "__main__":
    main()
