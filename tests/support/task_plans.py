"""Plans of a file against the one in use, judged by the metrics of their tasks, and what a run of one left."""

import msgspec

from pipeline.records import RunRecord
from pipeline.store import Store
from tests.support.commands import edgepress

MEASURE = """[measure]
launches = 1
timed_seconds = 0.01
meters = []
operators = false
"""


def task_plan(task, limits="", *, baseline="released.onnx", evaluation="rows.npz", more=""):
    """`task`: the content of [task], or whole tables of [[task]], or nothing; `baseline` None: nothing to judge against; `more`: other tables."""
    parts = [
        '[model]\npath = "model.onnx"',
        task and (task if task.startswith("[") else f"[task]\n{task}"),
        f'[data]\nevaluation = "{evaluation}"',
        baseline and f'[compare]\nbaseline = "{baseline}"',
        MEASURE,
        limits and f"[limits]\n{limits}",
        more,
    ]
    return "\n".join(filter(None, parts)) + "\n"


def run(folder, text):
    """Return what `edgepress run` said of a plan with this text, and the record of the run."""
    (folder / "edge.toml").write_text(text)
    said = edgepress("run", folder / "edge.toml", "-q")
    return said, msgspec.json.decode(Store(folder / ".edgepress").latest_run(), type=RunRecord)


def verdict_of(record, metric="metric_drop"):
    """Return the only verdict by this metric; None: there is none."""
    found = [each for each in record.compared.verdicts if each.metric == metric]
    assert len(found) < 2
    return found[0] if found else None


def page_of(folder, record):
    """Return the report of the run as a page of HTML."""
    (page,) = (folder / ".edgepress" / "reports").glob(f"*{record.run_id}*/report.html")
    return page.read_text()
