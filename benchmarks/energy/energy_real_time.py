"""Are the joules right that the real agent measures in real time, on the files of an INA3221 that a process writes?

    .venv/bin/python benchmarks/energy/energy_real_time.py [RUNS]

First a known curve of power, RUNS times, under the agent's sampler. Then the whole way: `edgepress run` on this machine with a limit on
energy, where the writer shows 2 W and 4 W more for each runner that computes, by the CPU time that it really used. The candidate is a copy of
the baseline, and then a file with 30 % more layers. No hardware is used: the values are made up, and logged with the moment from which they
could be read. The truth is the integral of that log, so a late writer is not an error.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.results import results
from benchmarks.energy.energy_curves import World
from device_agent import wire
from device_agent.meters._sampler import Sampler
from pipeline.measure.energy.reading import reading_of
from pipeline.records import RunRecord
from pipeline.store import Store
from targets import ranges

STEP_S, LOOK_S = 0.004, 0.2
IDLE_W, BUSY_W = 2.0, 4.0
IDLE_S, LEAD_S, WINDOW_S = 2.0, 0.3, 5.0  # the parts of the known curve
CHIP = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
COMPARE = '[compare]\nbaseline = "old.onnx"\n'
PLAN = (
    '[model]\npath = "new.onnx"\n'
    + COMPARE
    + """[board]
name = "local"
[measure]
meters = ["jetson_ina3221"]
runtimes = ["onnxruntime"]
launches = 1
timed_seconds = 0.05
operators = false
energy_seconds = 5
energy_idle_seconds = {idle}
"""
)
LIMIT = "[limits]\nenergy_regression = 0.05\n"


# --- the writer


def curve(seed, start_ns):
    """Return the function from a moment (ns) to watts in the world of this seed."""
    made = world(seed)
    return lambda now_ns: made.watts(max(0.0, (now_ns - start_ns) / 1e9))


def world(seed):
    rng = np.random.default_rng(seed)
    each = rng.uniform(0.002, 0.08)
    busy_s = IDLE_S + 0.5, IDLE_S + 0.5 + 2 * LEAD_S + WINDOW_S
    return World(rng, [(*busy_s, 1.0, each)], busy_s[1] + IDLE_S + 1)


class Load:
    """Watts by the CPU time of the runners of the agent that reads this tree."""

    def __init__(self, root):
        self.mark, self.used_ns = f"EDGEPRESS_FS_ROOT={root}\0".encode(), {}
        self.last_ns = self.look_ns = 0

    def __call__(self, now_ns):
        if now_ns >= self.look_ns:
            self.look_ns = now_ns + int(LOOK_S * 1e9)
            for pid in self._runners() - set(self.used_ns):
                self.used_ns[pid] = cpu_ns(pid)
        spent_ns = 0
        for pid in tuple(self.used_ns):
            used_ns = cpu_ns(pid)
            if used_ns is None:
                del self.used_ns[pid]
            else:
                spent_ns += used_ns - (self.used_ns[pid] or used_ns)
                self.used_ns[pid] = used_ns
        share = spent_ns / (now_ns - self.last_ns) if self.last_ns else 0.0
        self.last_ns = now_ns
        return IDLE_W + BUSY_W * share

    def _runners(self):
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (
                    b"device_agent.bench.runner" in (process / "cmdline").read_bytes()
                    and self.mark in (process / "environ").read_bytes()
                ):
                    found.add(int(process.name))
            except OSError:  # it ended, or is not ours
                continue
        return found


def cpu_ns(pid):
    """Return the CPU time of a process, exact while it runs, too (clock_getcpuclockid(3)), or None if it ended."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return None


def write(root, log, watts):
    """Write the watts until SIGTERM. A reader finds the old value or the new one, by rename(2)."""
    chip, shown, parent, running = Path(root, CHIP), [], os.getppid(), [True]
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    while running and os.getppid() == parent:
        ampere_8 = max(0, round(watts(time.monotonic_ns()) / 5 * 1000 / 8))  # LSB: 40 uV at 5 mOhm
        (chip / "new").write_text(f"{ampere_8 * 8}\n")
        (chip / "new").rename(chip / "curr1_input")
        shown.append((time.monotonic_ns(), ampere_8 * 8 * 5000))
        time.sleep(STEP_S)
    np.save(log, np.array(shown, np.int64))


# --- the readers


class Writer:
    """A tree and the process that writes it, as a context manager. Afterwards `joules` integrates what was shown."""

    def __init__(self, root, *what):
        self.root, self.what, self.log = Path(root), what, Path(root, "log.npy")

    def __enter__(self):
        chip = self.root / CHIP
        chip.mkdir(parents=True)
        for name, text in (
            ("in1_label", "VDD_IN"),
            ("shunt1_resistor", "5000"),
            ("in1_input", "5000"),
            ("curr1_input", "400"),
        ):
            (chip / name).write_text(text + "\n")
        self.process = subprocess.Popen([sys.executable, __file__, "write", self.root, *map(str, self.what)])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.shown = np.load(self.log)

    def joules(self, start_ns, end_ns):
        """Return the integral of steps: each value holds from its moment to the next."""
        t_ns, power_uw = self.shown.T
        edges = np.clip(np.append(t_ns, end_ns), start_ns, end_ns)
        return float((np.diff(edges) * power_uw).sum()) / 1e15


def known(seed):
    """Return (reading, true gross, true net) of a known curve, in real time."""
    made = world(seed)
    at = (
        (0.0, IDLE_S),
        (IDLE_S + 0.5 + LEAD_S, IDLE_S + 0.5 + LEAD_S + WINDOW_S),
        (IDLE_S + 0.6 + 2 * LEAD_S + WINDOW_S, made.end_s - 0.5),
    )
    with tempfile.TemporaryDirectory() as root, mock.patch.dict("os.environ", EDGEPRESS_FS_ROOT=root):
        start_ns = time.monotonic_ns() + 2_000_000_000  # the writer is running by then
        with Writer(root, "curve", seed, start_ns) as writer:
            time.sleep(max(0.0, (start_ns - time.monotonic_ns()) / 1e9))
            sampler = Sampler((wire.MeterUse("jetson_ina3221", ()),))
            sampler.enter("timed")
            time.sleep(made.end_s)
            sampler.stop()
    before, (begin_ns, end_ns), after = (tuple(start_ns + round(edge * 1e9) for edge in span) for span in at)
    ran = wire.EnergyWindow(1, begin_ns, end_ns, round(LEAD_S * 1e9), (before, after), (), ())
    gross_j = writer.joules(begin_ns, end_ns)
    return reading_of(sampler.traces()[0], ran), gross_j, gross_j - made.joules(*at[1], made.idle_sums)


def model(path, layers):
    """Save a file that multiplies x (1, 256) by a matrix `layers` times."""
    from onnx import TensorProto, helper, numpy_helper, save

    weights = numpy_helper.from_array(np.eye(256, dtype=np.float32)[::-1].copy(), "w")
    nodes = [helper.make_node("MatMul", [f"x{n}", "w"], [f"x{n + 1}"]) for n in range(layers)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 256)) for name in ("x0", f"x{layers}")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def edgepress_run(folder, layers, *, limit=True, idle_s=1):
    """Return (the ended process of `edgepress run`, its record or None, the writer, the store of the folder)."""
    model(folder / "old.onnx", 40)
    model(folder / "new.onnx", layers)
    plan = folder / "edge.toml"
    text = PLAN.format(idle=idle_s)
    plan.write_text(text + LIMIT if limit else text.replace(COMPARE, ""))
    root, store = folder / "tree", Store(folder / ".edgepress")
    with Writer(root, "load") as writer:
        environment = os.environ | {"EDGEPRESS_FS_ROOT": str(root)}
        run = [sys.executable, "-m", "pipeline", "run", str(plan)]
        done = subprocess.run(run, capture_output=True, text=True, check=False, env=environment)
    latest = store.latest_run()
    return done, msgspec.json.decode(latest, type=RunRecord) if latest else None, writer, store


def shown_j(measurement, writer, store):
    """Return the gross joules of an inference in the launch for the meters, as they were shown."""
    lines = store.path(measurement.energy.raw).read_bytes().splitlines(keepends=True)
    ran = ranges.decode(lines[0]).energy
    return writer.joules(ran.start_ns, ran.end_ns) / ran.runs


def main():
    parser = command.parser(__doc__)
    parser.add_argument("runs", metavar="RUNS", type=int, nargs="?", default=10)
    runs = parser.parse_args().runs
    began = time.monotonic()
    with results(__file__) as add:
        known_curves(add, runs)
        for layers, what in ((40, "a copy"), (52, "30 % more layers")):
            folder = Path(tempfile.mkdtemp())
            try:
                whole_run(add, folder, layers, what)
            finally:
                shutil.rmtree(folder)
    print(f"took {time.monotonic() - began:.0f} s")


def known_curves(add, runs):
    inside = {"gross": 0, "net": 0}
    print(
        f"{runs} known curves, an INA3221 written by a process, in real time, load {os.getloadavg()[0]:.1f}; no hardware"
    )
    print("gross measured, shown (J) | error, stated | net error, stated | missing")
    for seed in range(runs):
        found, gross_j, net_j = known(seed)
        if found.invalid:
            print(f"INVALID: {found.invalid}", flush=True)
            continue
        errors = found.gross_j - gross_j, found.net_j - net_j
        inside["gross"] += abs(errors[0]) <= found.gross.total_j
        inside["net"] += abs(errors[1]) <= found.net.total_j
        print(
            f"{found.gross_j:.3f}, {gross_j:.3f} | {errors[0] / gross_j:+.2%}, {found.gross.total_j / gross_j:.2%}"
            f" | {errors[1] / net_j:+.2%}, {found.net.total_j / net_j:.2%} | {found.dropped} of {found.expected}",
            flush=True,
        )
    print(f"inside: gross {inside['gross']}, net {inside['net']} of {runs}")
    for what, count in inside.items():
        add(f"{what} joules inside what is stated", count, f"of {runs} curves")


def whole_run(add, folder, layers, what):
    done, record, writer, store = edgepress_run(folder, layers)
    print(f"\nedgepress run, {what}: exit {done.returncode}")
    if record is None:
        print(done.stderr)
        return
    for one in record.measured.measurements:
        best = one.energy.best
        if best is None:
            print(f"  {one.label}: {[reading.invalid for reading in one.energy.readings]}")
            continue
        gross = f"{best.gross_j * 1e6:.1f} uJ +- {best.gross.total_j / best.gross_j:.1%}"
        net = f"{best.net_j * 1e6:.1f} +- {best.net.total_j / best.net_j:.1%}"
        print(f"  {one.label}: gross {gross}, shown {shown_j(one, writer, store) * 1e6:.1f}; net {net}")
    for verdict in record.compared.verdicts:
        if verdict.change is None:
            print(f"  {verdict.outcome} {verdict.metric}: -; {verdict.why}")
            continue
        effort = f"{verdict.pairs} pairs, {verdict.seconds:.0f} s"
        change = f"{verdict.change:+.1%} [{verdict.low:+.1%}, {verdict.high:+.1%}], {effort}"
        print(f"  {verdict.outcome} {verdict.metric}: {change}; {verdict.why}")
        name = f"`edgepress run`, {what}: {verdict.metric}"
        add(name, round(100 * verdict.change, 1), "% more", note=f"{verdict.outcome}, {effort}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        root, kind, *settings = sys.argv[2:]
        write(root, Path(root, "log.npy"), curve(*map(int, settings)) if kind == "curve" else Load(root))
    else:
        main()
