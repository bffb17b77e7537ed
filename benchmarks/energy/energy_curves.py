"""Are the joules of a known power curve right with each simulated meter, and is a broken trace called INVALID?

    .venv/bin/python benchmarks/energy/energy_curves.py [RUNS [SEED [METER...]]]

No meter's hardware was at hand. The board's power and time are simulated. The agent's sampler and meters and the host's arithmetic are real;
they read an INA3221's tree of files, a PMIC's text, an INA226's registers, RAPL's counters and a stand-in for the Joulescope's driver. Half
of the runs have a gain error within what the meter states; the other half have none, so that a wide gain does not hide an error of the rest.
energy_pairs.py has the verdict, energy_real_time.py real time.
"""

import math
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.results import results
from device_agent import wire
from device_agent.meters import _i2c, pi5_pmic
from device_agent.meters import _sampler as sampler
from device_agent.record import replace
from pipeline.measure.energy.capture import found_by_pattern
from pipeline.measure.energy.reading import SAME_CLOCK, Sync, least_window_s, reading_of
from targets.meters import joulescope

IDLE_S, LEAD_S, PATTERN_S, GRID_HZ = 10.0, 0.3, 0.5, 2000
PERIODS_S = {"jetson_ina3221": 0.01, "pi5_pmic": 0.1, "ina226": 0.01, "rapl": 0.02, "joulescope": 0.1}
COUNTERS = {"rapl", "joulescope"}
GAINS = {"jetson_ina3221": 0.01, "pi5_pmic": 0.05, "ina226": 0.012, "rapl": 0.03, "joulescope": 0.005}
NOISE = {"jetson_ina3221": 0.02, "pi5_pmic": 0.03, "ina226": 0.005, "rapl": 0.0, "joulescope": 0.0}
RANGE_UJ = 20_000_000  # the simulated RAPL wraps within each run
SHUNT_OHM = 0.02
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # files are written thousands of times in each run
DRIFT = 0.15  # of the idle power, over a whole run
FAULTS = ("dropped samples", "stepped clock", "idle drift", "a meter that dies")


class Board:
    """A simulated board and model, as they are in every run."""

    def __init__(self, rng):
        self.idle_w, self.burst_w = rng.uniform(1.5, 6), rng.uniform(1, 8)
        self.pause_share = rng.uniform(0.05, 0.4)


class World:
    """A board whose power is known at every moment: idle, then inferences with bursts and pauses, then idle."""

    def __init__(self, rng, spans, total_s, idle_drift=None, board=None):
        """`spans`: (start_s, end_s, power factor, seconds of an inference) of each time that it works."""
        board = board or Board(rng)
        drift = rng.uniform(-0.015, 0.015) if idle_drift is None else idle_drift
        wander = [(rng.uniform(0.0005, 0.003), rng.uniform(3, 40), rng.uniform(0, 2 * math.pi)) for _ in range(3)]
        t = np.arange(0, total_s, 1 / GRID_HZ)
        self.idle = board.idle_w * (
            1 + drift * t / total_s + sum(a * np.sin(2 * np.pi * t / tau + p) for a, tau, p in wander)
        )
        work = np.zeros(len(t))
        for start, end, factor, each in spans:
            inside = (t >= start) & (t < end)
            phase = ((t[inside] - start) / each) % 1
            work[inside] = board.burst_w * factor * np.where(phase < board.pause_share, 0.25, 1)
        self.power = self.idle + work * (1 + 0.003 * np.sin(2 * np.pi * t / 17))
        self.sums = np.concatenate(([0], np.cumsum(self.power) / GRID_HZ))
        self.idle_sums = np.concatenate(([0], np.cumsum(self.idle) / GRID_HZ))
        self.end_s = total_s

    def watts(self, t_s):
        return float(self.power[min(len(self.power) - 1, int(t_s * GRID_HZ))])

    def joules(self, start_s, end_s, sums=None):
        sums = self.sums if sums is None else sums
        return _between(sums, end_s * GRID_HZ) - _between(sums, start_s * GRID_HZ)


def _between(sums, index):
    """Interpolate the cumulative sums at an index between two of them."""
    first = min(max(int(index), 0), len(sums) - 2)
    return float(sums[first] + (index - first) * (sums[first + 1] - sums[first]))


class Simulated:
    """Replaces `time` in the sampler: sleeping is free, and the device shows what it would show at that moment."""

    def __init__(self, world, rng, show):
        self.world, self.rng, self.show, self.now_ns, self.reader = world, rng, show, 1_000_000_000_000, None
        self.zero_ns = self.now_ns

    @property
    def now_s(self):
        return (self.now_ns - self.zero_ns) / 1e9

    def monotonic_ns(self):
        self.now_ns += int(self.rng.uniform(20_000, 150_000))  # reading takes time
        return self.now_ns

    def sleep(self, seconds):
        self.now_ns += max(0, int(seconds * 1e9)) + int(self.rng.exponential(60_000))  # a sleep ends late
        self.reader.stopped = self.now_s >= self.world.end_s - 0.05
        self.show(max(0.0, self.now_s))


def sampled(name, world, rng, gain):
    """Return (trace, start of the board's clock, Sync) as the real sampler and meter record this world."""
    noisy = lambda watts: watts * gain * (1 + rng.normal(0, NOISE[name]))  # noqa: E731
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        root = Path(folder)
        if name == "joulescope":
            return by_joulescope(world, rng, gain)
        settings, show, patches = DEVICES[name](root, world, noisy, gain)
        clock = Simulated(world, rng, show)
        show(0.0)
        use = wire.MeterUse(name, (*settings, ("gain_percent", str(100 * GAINS[name]))))
        with (
            mock.patch.object(sampler, "time", clock),
            mock.patch.dict("os.environ", EDGEPRESS_FS_ROOT=folder),
            patches,
        ):
            reader = sampler._Reader(use)
            clock.reader = reader
            reader.running.set()
            reader._run()
            return reader.trace(), clock.zero_ns, SAME_CLOCK


def ina3221(root, world, noisy, _gain):
    chip = root / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
    chip.mkdir(parents=True)
    (chip / "in1_label").write_text("VDD_IN\n")
    (chip / "shunt1_resistor").write_text("5000\n")

    (chip / "in1_input").write_text("5000\n")

    def show(now_s):  # LSB: 8 mV and 8 mA (40 uV at 5 mOhm)
        (chip / "curr1_input").write_text(f"{round(noisy(world.watts(now_s)) / 5 * 1000 / 8) * 8}\n")

    return (), show, mock.patch.object(sampler, "JOIN_S", sampler.JOIN_S)


def pmic(root, world, noisy, _gain):
    output = {}

    def show(now_s):
        watts = noisy(world.watts(now_s))
        output["text"] = (
            f" VDD_CORE_A current(7)={0.7 * watts / 0.9:.8f}A\n DDR_VDD2_A current(3)={0.3 * watts / 1.1:.8f}A\n VDD_CORE_V volt(15)=0.90000000V\n DDR_VDD2_V volt(11)=1.10000000V\n EXT5V_V volt(24)=5.1V\n"
        )

    (root / "vcgencmd").touch()
    procfs = SimpleNamespace(program=lambda _: "vcgencmd", LIMIT_S=2)
    run = lambda *_, **__: SimpleNamespace(stdout=output["text"].encode())  # noqa: E731
    programs = SimpleNamespace(run=run, DEVNULL=0, PIPE=0, TimeoutExpired=TimeoutError)
    return (), show, mock.patch.multiple(pi5_pmic, procfs=procfs, subprocess=programs)


def ina226(_root, world, noisy, _gain):
    registers = {0xFE: 0x5449, 0xFF: 0x2260, 0x02: 4000}

    def show(now_s):  # the mean of the last whole conversion, 8.8 ms long
        end = max(0.0088, math.floor(now_s / 0.0088) * 0.0088)
        registers[0x01] = round(noisy(world.joules(end - 0.0088, end) / 0.0088) / 5 * SHUNT_OHM / 2.5e-6)

    chip = SimpleNamespace(read=lambda register, _=2: registers[register], write=lambda *_: None, close=lambda: None)
    return (("shunt_ohm", str(SHUNT_OHM)),), show, mock.patch.object(_i2c, "open_bus", return_value=chip)


def rapl(root, world, _noisy, gain):
    zone = root / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")

    def show(now_s):
        at = math.floor(now_s * 1000) / 1000
        (zone / "energy_uj").write_text(f"{int((3e6 + world.joules(0, at) * gain * 1e6) % (RANGE_UJ + 1))}\n")

    return (), show, mock.patch.object(sampler, "JOIN_S", sampler.JOIN_S)


DEVICES = {"jetson_ina3221": ina3221, "pi5_pmic": pmic, "ina226": ina226, "rapl": rapl}


def by_joulescope(world, rng, gain):
    """Record with the stand-in, which calls back at 10 Hz, some milliseconds late, on this machine's clock; the board has another clock."""
    there = SimpleNamespace(**dict.fromkeys(("open", "publish", "subscribe", "unsubscribe", "close"), lambda *_: None))
    meter = joulescope._Joulescope(there, "u/js220/1", {"gain_percent": str(100 * GAINS["joulescope"])})
    meter.start()
    offset_ns = int(rng.uniform(-(10**12), 10**12))
    for number in range(1, int(world.end_s * 10)):
        at = number / 10
        late_s = rng.uniform(0.001, 0.02)
        now_ns = 1_000_000_000_000 - offset_ns + int((at + late_s) * 1e9)
        with mock.patch.object(joulescope, "time", SimpleNamespace(monotonic_ns=lambda now_ns=now_ns: now_ns)):
            meter._hear("", {"accumulators": {"energy": {"value": world.joules(0, at) * gain}}})
    half_s = rng.uniform(0.001, 0.03)  # half a round trip
    return meter.stop(), 1_000_000_000_000, Sync(offset_ns + int(rng.uniform(-half_s, half_s) * 1e9), half_s)


def trial(name, rng, with_gain, fault=None, board=None, each=None):
    """Return (reading of edgepress, true gross, true net): joules of an inference of `each` seconds."""
    window_s = least_window_s(PERIODS_S[name], accumulates=name in COUNTERS)
    each = each or rng.uniform(0.002, 0.08)
    runs = math.ceil(window_s / each)
    busy, t = [], PATTERN_S
    for _ in range(3):
        busy.append((t, t + PATTERN_S))
        t += 2 * PATTERN_S
    idle_1 = (t, t + IDLE_S)
    start = idle_1[1] + 1.0 + LEAD_S
    end = start + runs * each
    idle_2 = (end + LEAD_S, end + LEAD_S + IDLE_S)
    spans = [(*one, 1.0, each) for one in busy] + [(idle_1[1], end + LEAD_S, 1.0, each)]
    spans[-1] = (start - math.ceil((start - idle_1[1]) / each) * each, end + LEAD_S, 1.0, each)
    world = World(rng, spans, idle_2[1] + 0.5, DRIFT if fault == "idle drift" else None, board)
    gain = 1 + rng.uniform(-1, 1) * GAINS[name] if with_gain else 1.0
    trace, zero_ns, guess = sampled(name, world, rng, gain)
    if not with_gain:
        trace = replace(trace, gain_ppm=None)
    at = lambda span: tuple(zero_ns + int(edge * 1e9) for edge in span)  # noqa: E731
    start_ns, end_ns = at((start, end))
    ran = wire.EnergyWindow(
        runs=runs,
        start_ns=start_ns,
        end_ns=end_ns,
        lead_ns=int(LEAD_S * 1e9),
        idle=(at(idle_1), at(idle_2)),
        busy=tuple(map(at, busy)) if name == "joulescope" else (),
        sampler=(),
    )
    trace = broken(trace, rng, fault, start_ns, end_ns, guess)
    sync = found_by_pattern(trace, ran, guess) if not fault else guess
    gross = world.joules(start, end)
    return reading_of(trace, ran, sync), gross / runs, (gross - world.joules(start, end, world.idle_sums)) / runs


def broken(trace, rng, fault, start_ns, end_ns, guess):
    """Return the trace with that fault between the two moments of the board's clock."""
    t_ns, values = np.array(trace.t_ns), np.array(trace.power_uw or trace.energy_uj)
    begin, end = start_ns - guess.offset_ns, end_ns - guess.offset_ns
    moment = begin + int(rng.uniform(0.2, 0.7) * (end - begin))
    keep = np.ones(len(t_ns), bool)
    if fault == "dropped samples":
        inside = np.flatnonzero((t_ns > begin) & (t_ns < end))
        share = rng.uniform(0.05, 0.3)  # at least 3: one reading more or less of 50 is not a fault
        keep[rng.choice(inside, max(3, round(share * len(inside))), replace=False)] = False
    elif fault == "a meter that dies":
        keep = t_ns < moment
    elif fault == "stepped clock":
        t_ns = t_ns + np.where(t_ns > moment, int(rng.choice([-1, 1]) * rng.uniform(0.6, 5) * 1e9), 0)
    kept = tuple(map(int, values[keep]))
    return replace(trace, t_ns=tuple(map(int, t_ns[keep])), **{"power_uw" if trace.power_uw else "energy_uj": kept})


def main():
    parser = command.parser(__doc__)
    parser.add_argument("runs", metavar="RUNS", type=int, nargs="?", default=200)
    parser.add_argument("seed", metavar="SEED", type=int, nargs="?", default=0)
    parser.add_argument("meters", metavar="METER", nargs="*", help=f"of {', '.join(GAINS)}; all by default")
    given = parser.parse_args()
    runs, seed, names = given.runs, given.seed, given.meters or list(GAINS)
    began = time.monotonic()
    print(f"{runs} random runs of each meter with a gain error and {runs} without, seed {seed}; simulated, no hardware")
    print(
        "meter | gross inside, net inside | with exact gain: gross, net | median net uncertainty | with exact gain | broken traces with a number"
    )
    with results(__file__) as add:
        for name in names:
            measure(add, name, runs, seed)
    print(f"took {time.monotonic() - began:.0f} s")


def measure(add, name, runs, seed):
    cells = []
    for with_gain, kind in ((True, "with an error of gain"), (False, "gain exact")):
        rng = np.random.default_rng((seed, list(GAINS).index(name), with_gain))
        found = [trial(name, rng, with_gain) for _ in range(runs)]
        valid = [each for each in found if not each[0].invalid]
        gross = sum(abs(reading.gross_j - gross_j) <= reading.gross.total_j for reading, gross_j, _ in valid)
        net = sum(abs(reading.net_j - net_j) <= reading.net.total_j for reading, _, net_j in valid)
        width = np.median([reading.net.total_j / reading.net_j for reading, _, _ in valid])
        cells.append((f"{gross / runs:.1%}, {net / runs:.1%}", f"{width:.2%}"))
        add(f"net inside, {kind}", round(100 * net / runs, 1), "%", of=name)
        add(f"median half-width, {kind}", round(100 * float(width), 1), "%", of=name)
    rng = np.random.default_rng((seed, list(GAINS).index(name), 2))
    given = sum(not trial(name, rng, True, fault)[0].invalid for fault in FAULTS for _ in range(max(1, runs // 10)))
    broken_runs = len(FAULTS) * max(1, runs // 10)
    add("broken traces that had a number", given, f"of {broken_runs}", of=name)
    print(
        f"{name} | {cells[0][0]} | {cells[1][0]} | {cells[0][1]} | {cells[1][1]} | {given} of {broken_runs}",
        flush=True,
    )


if __name__ == "__main__":
    main()
