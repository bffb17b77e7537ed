"""Chains of passes over the Fashion-MNIST example, with several seeds, for the figures on compression.

The product itself does everything: each chain is a plan, and its stages are called as `edgepress convert` calls them. Results of the
same source and seed are taken from the store in `--folder`.
"""

import argparse
import contextlib
import importlib.util
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from benchmarks._support import command
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT
from pipeline import deploy, flow, measure
from pipeline.plan import Plan, read
from pipeline.progress import Silent
from pipeline.records import Converted, Measured

EXAMPLE = ROOT / "examples" / "fashion_mnist"
SEEDS = (1, 2, 3)
HEAD = """
seed = {seed}
[model]
path = "model.keras"
[data]
training = "data:training"
calibration = "data:calibration"
evaluation = "data:evaluation"
[convert]
formats = {formats}
[measure]
steps = false
runtimes = ["ai_edge_litert"]
"""


def parser(doc: str) -> argparse.ArgumentParser:
    """Return the parser of a script that runs chains, with the options that they share."""
    made = command.parser(doc)
    made.add_argument("--folder", type=Path, default=ROOT / "build" / "experiments", help="where the store is kept")
    made.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    made.add_argument("--only", nargs="+", help="names of the chains to run")
    return made


class Laboratory:
    """A folder with the example's model and data, in which plans are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("model.keras", "data.py"):
            shutil.copy(EXAMPLE / name, folder / name)
        print(f"{describe()}\n", flush=True)

    def plan(self, passes: str, formats: Sequence[str], seed: int) -> Plan:
        path = self.folder / "edge.toml"
        path.write_text(HEAD.format(seed=seed, formats=list(formats)) + passes)
        return read(path)

    def run(self, passes: str, formats: Sequence[str], seed: int) -> flow.Run:
        """Load, compress and convert. The host's answers for the 10,000 test images give the accuracy."""
        return flow.run(self.plan(passes, formats, seed), Silent(), until="convert")

    def measure(self, now: flow.Run, files: Sequence[Converted]) -> Measured:
        """Measure the latency of many files side by side on this machine: fresh processes in shuffled rounds."""
        plan = self.plan("", [files[0].format], 1)
        data = now.loaded.data
        with contextlib.closing(flow.store_of(plan)) as store, deploy.connect(plan, print) as board:
            deployment = deploy.deploy(board, plan, data, files, store, Silent())
            measured = measure.measure(board.session, plan, data, deployment, files, store, Silent())
            board.session.forget_fetched()
            return measured


def accuracy(one: Converted) -> float:
    """Return the accuracy on the host, in percent."""
    if one.agreement is None or one.agreement.accuracy_ratio is None:
        sys.exit(f"{one.variant} {one.format} has no accuracy: are the extras installed?")
    return 100 * one.agreement.accuracy_ratio


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the mean and the standard deviation over the seeds as text."""
    mean = statistics.fmean(values)
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean:.{digits}f}{deviation}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def of_seeds(values: Sequence[float], digits: int = 2) -> dict[str, object]:
    """Return the interval of a figure that is the mean over the seeds: one standard deviation to each side."""
    if len(values) < 2:
        return {}
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    ends = [round(mean - deviation, digits), round(mean + deviation, digits)]
    return {"interval": ends, "interval_is": f"sd over {len(values)} seeds"}


def example_data() -> ModuleType:
    """Return the example's module `data`, whose functions load the training, calibration and evaluation rows."""
    spec = importlib.util.spec_from_file_location("data", EXAMPLE / "data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
