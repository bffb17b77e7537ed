"""Measure the figures of docs/figures.md again and render the page: what `make bench` runs.

    .venv/bin/python benchmarks/measure_all.py             # the short ones: some ten minutes on a quiet machine
    .venv/bin/python benchmarks/measure_all.py --whole     # and those that train or repeat for hours

A benchmark that fails or misses its aim is named at the end; the figures of the others stay.
"""

import subprocess
import sys

from _results import ROOT
from machine import describe

SHORT = (
    "command_line.py",
    "agent.py",
    "link.py",
    "jobs.py",
    "fleet.py 200",
    "upload.py",
    "surgery.py",
    "demo.py",
)
WHOLE = (
    "agreement.py --rounds 20",
    "memory.py",
    "training_step.py",
    "onnx_int8.py",
    "cpu_quota.py",
    "golden.py",
    "energy.py 200 501",
    "energy_pairs.py 100 501",
    "energy_idle.py",
    "energy_fed.py",
    "controls.py",
    "pareto.py --picture docs/pareto.svg",
    "selftest.py collect --model onnx",
    "selftest.py collect --model tflite",
    "selftest.py collect --model onnx --slower --trials 100",
    "selftest.py collect --model tflite --slower --trials 100",
    "selftest.py show",
    "disturbed.py collect",
    "disturbed.py show",
)
BY_HAND = {
    "beside_tfmot.py": "needs an environment with TensorFlow's toolkit; its docstring says how to make one",
    "emulated_demo.py": "builds and boots the emulated ARM machine: `make test-slow` gets its packages",
    "two_checkouts.py": "compares with another checkout, which it is given",
}


def main() -> None:
    print(describe())
    failed = []
    for command in (*SHORT, *(WHOLE if "--whole" in sys.argv else ())):
        print(f"\n== benchmarks/{command}", flush=True)
        if subprocess.run([sys.executable, *f"benchmarks/{command}".split()], cwd=ROOT, check=False).returncode:
            failed.append(command)
    subprocess.run([sys.executable, "benchmarks/figures.py"], cwd=ROOT, check=True)
    for script, why in BY_HAND.items():
        print(f"not run: {script}, which {why}")
    if failed:
        sys.exit("failed, or missed its aim: " + ", ".join(failed))


if __name__ == "__main__":
    main()
