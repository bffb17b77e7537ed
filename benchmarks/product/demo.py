"""How long does the example take from nothing to its report, and what does it find?

.venv/bin/python benchmarks/product/demo.py
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT, change, results
from pipeline.records import Measurement, RunRecord

EDGEPRESS = Path(sys.executable).with_name("edgepress")


def is_uncompressed_fp32(one: Measurement, runtime: str) -> bool:
    return (one.variant, one.runtime) == ("original", runtime) and one.format.endswith("-fp32")


def main() -> None:
    command.parser(__doc__).parse_args()
    print(describe())
    with results(__file__) as add, tempfile.TemporaryDirectory() as folder:
        example = Path(folder) / "example"
        ignored = shutil.ignore_patterns(".edgepress", "out", "__pycache__")
        shutil.copytree(ROOT / "examples" / "fashion_mnist", example, ignore=ignored)
        began = time.perf_counter()
        done = subprocess.run([EDGEPRESS, "run", "--json", example / "edge.toml"], capture_output=True, check=True)
        add("the example, after the set-up", round(time.perf_counter() - began), "s")
        record = msgspec.json.decode(done.stdout, type=RunRecord)
        for file in record.converted:
            if file.agreement and file.agreement.accuracy_ratio is not None:
                add("accuracy", round(100 * file.agreement.accuracy_ratio, 2), "%", of=f"{file.variant} {file.format}")
        for one in record.measured.measurements:
            base = next(each for each in record.measured.measurements if is_uncompressed_fp32(each, one.runtime))
            smaller = base.artifact.size_bytes / one.artifact.size_bytes
            add("size against the uncompressed fp32", round(smaller, 2), "x smaller", of=one.label)
            faster = change(base.latency.median_s / one.latency.median_s)
            add("latency against the uncompressed fp32", *faster, of=one.label)
            print(f"{one.label}: {one.latency.median_s * 1e6:.1f} µs, {one.artifact.size_bytes:,} bytes")


if __name__ == "__main__":
    main()
