"""Are models that nobody here made right by labels of their own, and what do 8 bits cost them?

    .venv/bin/python benchmarks/product/public_models.py [--only "face detection"]

The models come from packages. Labels are certain because the rows were made from them: text lines that were drawn and turned, crops of
which a package says that they are faces and that were pasted in a place. What is said of a case is printed with it. No labels are what
another model answered. Sound is left out: these packages ship none.

Each case is a written plan, and `edgepress run` on this machine as the board makes onnx-fp32 and onnx-int8 of the model, answers the rows, and
judges int8 against fp32 on the same rows.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.experiment import table
from benchmarks._support.machine import describe
from benchmarks._support.public.cases import CASES, Public
from benchmarks._support.results import ROOT, results

EDGEPRESS = Path(sys.executable).with_name("edgepress")
PLAN = """[model]
path = "model.onnx"
[task]
{task}
[data]
evaluation = "evaluation.npz"
calibration = "calibration.npz"
[convert]
formats = ["onnx-fp32", "onnx-int8"]
[measure]
launches = 1
timed_seconds = 0.05
meters = []
operators = false
[limits]
{limits}
applies_to = ["onnx-int8"]
"""


def main() -> None:
    parser = command.parser(__doc__)
    names = [each.name for each in CASES]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "corpus", metavar="CACHE", help="of packages")
    given = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(describe(), flush=True)
    lines = []
    with results(__file__) as add:
        for case in CASES:
            if case.name in given.only:
                print(f"{case.name} ({case.package}): {case.labels}.", flush=True)
                with tempfile.TemporaryDirectory() as temporary:
                    run = judged(case, given.folder.resolve(), Path(temporary))
                lines.append(kept(case, run, add))
    print("\n" + table(("case", "metric", "rows", "fp32", "int8", "int8 worse by", "95 %", "verdicts"), lines))


def judged(case: Public, cache: Path, folder: Path) -> dict[str, Any]:
    """Return the record of the run. A run whose limit is not kept is one, too."""
    case.make(cache, folder)
    (folder / "edge.toml").write_text(PLAN.format(task=case.task, limits=case.limits))
    done = subprocess.run(
        [EDGEPRESS, "run", folder / "edge.toml", "-q", "--json"], capture_output=True, text=True, check=False
    )
    if not done.stdout:
        sys.exit(done.stderr)
    run: dict[str, Any] = json.loads(done.stdout)
    return run


def kept(case: Public, run: dict[str, Any], add: Any) -> list[str]:
    """Keep the figures of a case, and return its line of the table: as the board answered."""
    (task,) = run["loaded"]["data"]["tasks"]
    files = {each["format"]: each["accuracy"]["qualities"][0] for each in run["measured"]["measurements"]}
    (comparison,) = run["compared"]["comparisons"]
    (drop,) = comparison["metric_drops"]
    middle, low, high = (100 * each for each in drop["drop"])
    rows = files["onnx-int8"]["rows"]
    note = f"{task['title']} of {rows} rows; {case.labels}"
    for name, quality in files.items():
        add(name, round(100 * quality["value"], 2), "%", of=case.name, note=note if name == "onnx-fp32" else "")
    add(
        "int8 worse by",
        round(middle, 2),
        "points",
        of=case.name,
        interval=(round(low, 2), round(high, 2)),
        interval_is="95 %",
    )
    limits = run["compared"]["verdicts"]
    verdicts = [f"{each['metric']} {each['limit']:g}: {each['outcome']}" for each in limits]
    why = "; ".join(f"{each['metric']}: {each['why']}" for each in limits if each["outcome"] != "PASS")
    add(
        "limits that int8 keeps",
        sum(each["outcome"] == "PASS" for each in limits),
        f"of {len(limits)}",
        of=case.name,
        note=why,
    )
    shown = [f"{100 * files[each]['value']:.2f} %" for each in ("onnx-fp32", "onnx-int8")]
    return [
        case.name,
        task["title"],
        str(rows),
        *shown,
        f"{middle:.2f}",
        f"{low:.2f} to {high:.2f}",
        "; ".join(verdicts),
    ]


if __name__ == "__main__":
    main()
