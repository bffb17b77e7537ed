"""How long does the whole example take on the emulated ARM machine, and does it give the same answers there as on this machine?

    .venv/bin/python benchmarks/product/emulated_demo.py [--as jetson-orin-nano] [--rows 1000]

Builds the machine again in a cache of its own, so that this time is measured, too. It answers 1,000 evaluation rows in some
minutes, and all 10,000 (without --rows) in an hour or more. Latencies there are those of the emulator and are not printed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT, results
from pipeline.records import RunRecord
from pipeline.store import Store
from targets.virtual.emulated import build, machine

EXAMPLE = ROOT / "examples" / "fashion_mnist"
EDGEPRESS = Path(sys.executable).with_name("edgepress")
HERE, THERE = "local", "virtual-aarch64"


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--as", dest="kind", default="raspberry-pi-4")
    parser.add_argument("--rows", type=int, help="how many evaluation rows, on both machines; all by default")
    given = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = str(Path(name) / "cache")
        folder = Path(name) / "example"
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".edgepress", "__pycache__"))
        try:
            with results(__file__) as add:
                demo_on_both(add, folder, given.kind.replace("-", "_"), given.rows)
        finally:
            machine.stop(quiet)


def demo_on_both(add, folder: Path, kind: str, rows: int | None) -> None:
    began = time.monotonic()
    with build.locked(quiet):
        image = build.image(quiet)
    print(f"build: {time.monotonic() - began:.1f} s, {size_mb(image.folder):.0f} MB")
    began = time.monotonic()
    machine.start(kind, quiet)
    print(f"boot as {kind}: {time.monotonic() - began:.1f} s until its SSH server answers")
    add("boot, until its SSH server answers", round(time.monotonic() - began, 1), "s", of=kind)
    records = {board: run(add, folder, board, rows) for board in (HERE, THERE)}
    store = Store(folder / ".edgepress")
    answers = {one.label: one.accuracy for one in records[HERE].measured.measurements if one.accuracy}
    for one in records[THERE].measured.measurements:
        here = answers.get(one.label)
        if one.accuracy and here:
            mine, other = (np.load(store.path(each.answers)) for each in (one.accuracy, here))
            print(
                f"{one.label}: accuracy {one.accuracy.accuracy_ratio:.4f} there, {here.accuracy_ratio:.4f} here; "
                f"another class for {np.count_nonzero(mine != other)} of {len(mine)} rows"
            )


def run(add, folder: Path, board: str, rows: int | None) -> RunRecord:
    """Run the example's plan with that board; return its record."""
    plan = folder / f"{board}.toml"
    text = (folder / "edge.toml").read_text().replace('name = "virtual"', f'name = "{board}"')
    if rows is not None:
        text = text.replace("[measure]", f"[measure]\nevaluation_rows = {rows}")
    plan.write_text(text)
    began = time.monotonic()
    done = subprocess.run([EDGEPRESS, "run", "--json", "--quiet", plan], stdout=subprocess.PIPE, check=False)
    add("the example's run", round(time.monotonic() - began), "s", of=board)
    print(f"run on {board}: {time.monotonic() - began:.0f} s, exit code {done.returncode}")
    record = msgspec.json.decode(done.stdout, type=RunRecord)
    print("  " + ", ".join(f"{stage.stage} {stage.seconds:.0f} s" for stage in record.stages))
    for failure in record.measured.failures:
        print(f"  not measured: {failure.label}: {failure.evidence}")
    for verdict in record.compared.verdicts if record.compared else ():
        print(f"  {verdict.metric} of {verdict.subject.label}: {verdict.outcome}: {verdict.why}")
    return record


def size_mb(folder: Path) -> float:
    """Return the size of the blocks on the disk, in megabytes."""
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir()) / 1e6


def quiet(_: str) -> None:
    pass


if __name__ == "__main__":
    main()
