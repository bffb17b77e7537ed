"""How much memory do rows take that are larger than it?

    .venv/bin/python benchmarks/product/large_rows.py [--gigabytes 10] [--memory-gib 2] [--stage convert] [--folder DIR]

Calibration and evaluation rows, half of the gigabytes each, come from a generator and go to an ONNX model: a command of edgepress reads
them, checks that they have no row in common, and lets the model answer, in processes that the plan bounds to --memory-gib. The limit
and the figure count anonymous memory (Anonymous in /proc/<pid>/smaps_rollup), of all processes of the command together: it cannot be
dropped. Not counted are pages of files, which the kernel drops when others need the room; the peak of a process that getrusage knows
(ru_maxrss) counts those, too. --folder needs room for all rows.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.machine import describe
from benchmarks._support.results import results
from pipeline.child_watch import family

EDGEPRESS = Path(sys.executable).with_name("edgepress")
ROW = (3, 224, 224)  # float32: 602 KB
ROW_BYTES = 3 * 224 * 224 * 4
LOOK_S = 0.05
ROWS = """
import numpy as np

def rows(first, count):
    for index in range(first, first + count):
        yield np.random.default_rng(index).random((3, 224, 224), np.float32)

def evaluation():
    return rows(0, {count})

def calibration():
    return rows({count}, {count})
"""
PLAN = """[model]
path = "model.onnx"
[data]
evaluation = "rows:evaluation"
calibration = "rows:calibration"
[convert]
formats = ["onnx-int8"]
[host]
minutes = 600
memory_bytes = {memory_bytes}
"""


def main() -> None:
    given = arguments()
    print(describe())
    count = max(1, int(given.gigabytes * 1e9 / 2 / ROW_BYTES))
    with results(__file__) as add, tempfile.TemporaryDirectory(dir=given.folder) as name:
        write(Path(name), count, int(given.memory_gib * 2**30))
        peak_bytes, wall_s = watched(Path(name), given.stage)
        case = f"{given.stage}, {2 * count * ROW_BYTES / 1e9:.3g} GB of rows, {given.memory_gib:g} GiB allowed"
        print(f"{case}: {peak_bytes / 2**20:,.0f} MiB at the most, {wall_s:.0f} s")
        add("most anonymous memory", round(peak_bytes / 2**20), "MiB", of=case)
        add("wall time", round(wall_s), "s", of=case)


def arguments() -> argparse.Namespace:
    parser = command.parser(__doc__)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--memory-gib", type=float, default=2)
    parser.add_argument("--stage", choices=("load", "convert"), default="load")
    parser.add_argument(
        "--folder", type=Path, help="where rows and results lie while it runs; a temporary one by default"
    )
    return parser.parse_args()


def write(folder: Path, count: int, memory_bytes: int) -> None:
    """Write the plan, its model (a mean of each channel, and four classes) and its functions."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), "weights")
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", *ROW))]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 4))]
    graph = helper.make_graph(nodes, "means", inputs, outputs, [weights])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    (folder / "rows.py").write_text(ROWS.replace("{count}", str(count)))
    (folder / "edge.toml").write_text(PLAN.format(memory_bytes=memory_bytes))


def watched(folder: Path, stage: str) -> tuple[int, float]:
    """Run a command; return the most anonymous memory of all its processes together, in bytes, and its wall time."""
    began, peak_bytes = time.perf_counter(), 0
    process = subprocess.Popen([EDGEPRESS, stage, folder / "edge.toml"], start_new_session=True)
    while process.poll() is None:
        peak_bytes = max(peak_bytes, sum(map(anonymous_bytes, family(process.pid))))
        time.sleep(LOOK_S)
    if process.returncode:
        sys.exit(f"edgepress {stage} ended with exit code {process.returncode}")
    return peak_bytes, time.perf_counter() - began


def anonymous_bytes(process: int) -> int:
    with contextlib.suppress(OSError):  # it may just have ended
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
