"""Runs that older versions of edgepress measured, see older_runs/README.md."""

import json
import tarfile
from pathlib import Path

from pipeline import plan as plans
from pipeline.store.files import unsealed

RUNS = Path(__file__).parent / "older_runs"
NAMES = ("schema-1-first", "schema-1-last", "schema-2", "schema-3", "schema-3-named", "schema-4", "schema-5")


def unpacked(name, folder):
    """The plan of an older run, with the state folder that it was left in."""
    with tarfile.open(RUNS / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return plans.read(folder / "edge.toml")


def written(plan):
    """The run as the older version wrote it."""
    (path,) = (plan.folder / ".edgepress" / "runs").iterdir()
    return json.loads(unsealed(path.read_bytes()) or path.read_bytes())
