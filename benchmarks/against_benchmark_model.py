"""Our median against LiteRT's own benchmark tool: same file, same runtime version, same threads, same machine, alternating.

    .venv/bin/python benchmarks/against_benchmark_model.py [--rounds 10]

Needs the files of the example: `edgepress convert examples/fashion_mnist/edge.toml` (made here if they are absent).
The tool rounds to 0.01 ms, which is 14 % of the INT8 model's time, so its `round` is replaced; nothing else is.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import describe

from device_agent import wire
from pipeline import flow, units
from pipeline.plan import read
from pipeline.progress import Silent
from targets import inventory, open_session, provision

PLAN = Path(__file__).parents[1] / "examples" / "fashion_mnist" / "edge.toml"
TOOL = "import ai_edge_litert.tools.benchmark_litert_model as tool; tool.round = lambda value, _: value; tool.main()"
RUNS = 2000
LIMIT = 0.05


def theirs(path: Path) -> float:
    """The tool's median in seconds."""
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        command = [sys.executable, "-P", "-c", TOOL, "--model", path, "--num_threads", "1", "--num_runs", str(RUNS),
                   "--warmup_runs", "500", "--result_json", result.name]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        return json.loads(Path(result.name).read_text())["latency"]["median_ms"] / 1e3


def ours(session, launch: wire.Launch) -> float:
    """The median of one launch of ours in seconds, as the agent measures it."""
    job = session.submit((launch,), "benchmark")
    (answer,) = (each for each in session.follow(job) if not isinstance(each, wire.Event))
    session.forget(job)  # the same launch again must be measured again
    if isinstance(answer, wire.LaunchFailed):
        sys.exit(f"our launch failed: {answer}")
    return statistics.median(answer.latency_ns) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    print(describe())
    now = flow.run(read(PLAN), Silent(), until="convert")
    worst = 0.0
    with open_session(inventory.find("local", PLAN.parent)) as session:
        sites, _ = provision.install(session, provision.wheels("ai_edge_litert", session.machine))
        for name in ("tflite-fp32", "tflite-int8"):
            file = next(each for each in now.converted if each.format == name and each.variant == "compressed").artifact
            path = now.store.path(file)
            session.put(path.read_bytes(), file.sha256)
            launch = wire.Launch(
                mode="time", model_sha256=file.sha256, model_format="tflite", runtime="ai_edge_litert", sites=sites,
                inputs_sha256="", threads=1, warmup_min_ns=200_000_000, warmup_max_ns=10**10, timed_min_ns=1, timed_min_runs=RUNS,
                timed_max_runs=RUNS, timeout_ns=10**11, rotated_rows=1, cpus=(), meters=(), idle_ns=0, pattern_ns=0,
            )  # fmt: skip
            pairs = []
            for number in range(rounds):
                first, second = (
                    (ours(session, launch), theirs(path)) if number % 2 else (theirs(path), ours(session, launch))
                )
                pairs.append((first, second) if number % 2 else (second, first))
            ratio = statistics.median(mine / other for mine, other in pairs)
            worst = max(worst, abs(ratio - 1))
            spread = ", ".join(f"{mine / other:.3f}" for mine, other in pairs)
            print(
                f"{name}: ours {units.seconds(statistics.median(mine for mine, _ in pairs))}, "
                f"theirs {units.seconds(statistics.median(other for _, other in pairs))}, ratio {ratio:.3f} ({rounds} pairs: {spread})"
            )
    print(f"largest difference {worst:.1%}: {'within' if worst <= LIMIT else 'NOT within'} {LIMIT:.0%}")
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    os.chdir(PLAN.parents[2])
    main()
