"""Measure the figures of docs/figures.md again and render the page: what `make bench` runs.

    .venv/bin/python benchmarks/measure_all.py             # the short ones: some ten minutes on a quiet machine
    .venv/bin/python benchmarks/measure_all.py --whole     # and those that train or repeat for hours

A benchmark that fails or misses its aim is named at the end; the figures of the others stay.
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import figures
from benchmarks._support import command
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT

SHORT = (
    "product/command_line.py",
    "transport/agent.py",
    "transport/link.py",
    "transport/jobs.py",
    "transport/fleet.py 200",
    "transport/upload.py",
    "compression/channel_surgery.py",
    "product/demo.py",
)
WHOLE = (
    "latency/agreement.py --rounds 20",
    "latency/cpu_quota.py",
    "latency/more_outputs.py",
    "compression/training_step.py",
    "compression/int8_per_task.py",
    "compression/training_per_task.py",
    "compression/onnx_int8.py",
    "compression/controls.py",
    "compression/pareto.py --picture docs/pareto.svg",
    "energy/energy_curves.py 200 501",
    "energy/energy_pairs.py 100 501",
    "energy/energy_idle.py",
    "energy/energy_real_time.py",
    "verdicts/memory.py",
    "verdicts/golden.py",
    "verdicts/metric_intervals.py",
    "verdicts/selftest.py collect --model onnx",
    "verdicts/selftest.py collect --model tflite",
    "verdicts/selftest.py collect --model onnx --slower --trials 100",
    "verdicts/selftest.py collect --model tflite --slower --trials 100",
    "verdicts/selftest.py show",
    "verdicts/interference.py collect",
    "verdicts/interference.py show",
    "product/corpus.py --whole",
    "product/audits.py",
    "product/public_models.py",
)
BY_HAND = {
    "compression/against_tfmot.py": "needs an environment with TensorFlow's toolkit; its docstring says how to make one",
    "product/emulated_demo.py": "builds and boots the emulated ARM machine: `make test-slow` gets its packages",
    "product/large_rows.py": "writes more to the disk than many have left",
    "product/two_checkouts.py": "compares with another checkout, which it is given",
}


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--whole", action="store_true", help="all, for hours")
    given = parser.parse_args()
    print(describe())
    failed = []
    for line in (*SHORT, *(WHOLE if given.whole else ())):
        print(f"\n== benchmarks/{line}", flush=True)
        if subprocess.run([sys.executable, *f"benchmarks/{line}".split()], cwd=ROOT, check=False).returncode:
            failed.append(line)
    figures.write()
    for script, why in BY_HAND.items():
        print(f"not run: {script}, which {why}")
    if failed:
        sys.exit("failed, or missed its aim: " + ", ".join(failed))


if __name__ == "__main__":
    main()
