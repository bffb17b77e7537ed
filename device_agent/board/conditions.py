"""The state of the board at this moment: warm, throttled, or busy with something else?"""

import functools
import os
import re
import time
from typing import Any, Dict, Optional, Tuple

from device_agent.board import contention, machine, procfs, throttling
from device_agent.wire import Conditions, Core

# Zones without a temperature: PMIC-Die of the Jetson Nano is always 100000; reading the CV zones of an Orin Nano, whose
# hardware is absent, fails or blocks forever, so they are not tried (tj is the hottest of all zones there).
NO_TEMPERATURE = re.compile("pmic-die|cv[0-9]", re.IGNORECASE)
# Beyond these: a broken sensor, or "unknown" (NVIDIA -256000, others -273200); the host refuses it.
LEAST_MC, MOST_MC = -100_000, 300_000
# Two clocks are read at one moment, unless the kernel runs something else in between.
CLOCK_GAP_NS, CLOCK_TRIES = 1_000_000, 5
# On a Jetson "17000000.gpu", before JetPack 6 also "17000000.gv11b" and the like, by its chip. Another device's clock is not the model's.
GPU = re.compile(r"/[0-9a-f]+\.(?:gpu|g[a-z]1[01]b)$")
QUICK_NS = 100_000  # for one sensor in sample(): the runners wait for it, and cool

_quick_zone: Optional[str] = None  # the hottest that answered within QUICK_NS at the last observe()


def observe() -> Conditions:
    """Read the board's state. Takes about 20 ms, mostly for the thermal zones; procfs.LIMIT_S and a little if one blocks."""
    load = procfs.field("proc/loadavg", r"^([0-9]{1,9}\.[0-9]+) ")
    pressure = procfs.field("proc/pressure/cpu", r"^some avg10=([0-9]{1,9}\.[0-9]+) ")
    temperature_mc = hottest_mc()
    slow, others = throttling.observe(), contention.usage()
    cores = tuple(filter(None, map(_core, procfs.of_cores(""))))
    t_ns, wall_offset_ns = _clocks()
    free_bytes = procfs.kib("proc/meminfo", "MemAvailable")
    return Conditions(
        t_ns=t_ns,
        wall_offset_ns=wall_offset_ns,
        temperature_mc=temperature_mc,
        cpu_khz=min((core.khz for core in cores if core.khz is not None), default=None),
        cores=cores,
        gpu_khz=_gpu_khz("cur"),
        gpu_min_khz=_gpu_khz("min"),
        gpu_max_khz=_gpu_khz("max"),
        governor=procfs.governor(),
        power_mode=machine.power_mode(),
        load_average_milli=None if load is None else round(float(load) * 1000),
        cpu_pressure_centi=None if pressure is None else round(float(pressure) * 100),
        cpu_stalled_us=_stalled_us("cpu"),
        memory_stalled_us=_stalled_us("memory"),
        io_stalled_us=_stalled_us("io"),
        swapped_in_pages=_count("proc/vmstat", r"^pswpin ([0-9]{1,18})$"),
        available_bytes=free_bytes and min(free_bytes, machine.memory_bytes() or free_bytes),  # in a container
        **slow._asdict(),
        **others._asdict(),
    )


def _clocks() -> Tuple[int, int]:
    """Return CLOCK_MONOTONIC, and how far CLOCK_REALTIME is ahead of it, in ns; read again if interrupted in between."""
    for _ in range(CLOCK_TRIES):
        before_ns = time.monotonic_ns()
        wall_ns = time.time_ns()
        after_ns = time.monotonic_ns()
        if after_ns - before_ns <= CLOCK_GAP_NS:
            break
    return after_ns, wall_ns - (before_ns + after_ns) // 2


def _core(folder: str) -> Optional[Core]:
    """Return the core; None: software cannot see its clock."""
    clocks = [procfs.number(f"{folder}scaling_{name}_freq") for name in ("cur", "min", "max")]
    cpu = re.search("/cpu([0-9]{1,6})/", folder)
    return Core(int(cpu.group(1)), *clocks) if cpu and clocks != [None] * 3 else None


def _stalled_us(what: str) -> Optional[int]:
    return _count(f"proc/pressure/{what}", r"^some .*\btotal=([0-9]{1,18})$")


def _count(path: str, pattern: str) -> Optional[int]:
    value = procfs.field(path, pattern)
    return None if value is None else int(value)


def hottest_mc() -> Optional[int]:
    """Return the highest zone temperature in milli-degrees Celsius; None: no zone reports one."""
    zones = [
        zone
        for zone in procfs.paths("sys/class/thermal/thermal_zone[0-9]*")
        if not NO_TEMPERATURE.match(procfs.text(zone + "/type") or "")
    ]
    readings = procfs.sensors([zone + "/temp" for zone in zones])
    hottest_first = sorted(
        ((reading, path) for path, reading in readings.items() if _temperature(reading) is not None),
        reverse=True,
    )
    global _quick_zone  # noqa: PLW0603 - what is known of this board's sensors, as procfs._silent is
    _quick_zone = next((path for _, path in hottest_first if _is_quick(path)), None)
    return hottest_first[0][0] if hottest_first else None


def _temperature(reading: Optional[int]) -> Optional[int]:
    """Return a plausible reading; None otherwise."""
    return reading if reading is not None and LEAST_MC <= reading <= MOST_MC else None


def _is_quick(path: str) -> bool:
    """Whether a sensor is fast. It must have just answered, so that it does not block."""
    began_ns = time.perf_counter_ns()
    procfs.number(path)
    return time.perf_counter_ns() - began_ns <= QUICK_NS


def sample(cpus: Tuple[int, ...]) -> Dict[str, Any]:
    """Return for wire.Block the clock of these cores (the fastest of them, since idle ones clock down; (): of all), that of the
    GPU, and the temperature of one zone. Takes about 0.1 ms between two blocks and starts no process. The temperature is None
    until observe() has found a fast sensor.
    """
    clocks = procfs.numbers(_clock_files(procfs.root(), cpus))
    return {
        "cpu_khz": max(clocks, default=None),
        "gpu_khz": _gpu_khz("cur"),
        "temperature_mc": None if _quick_zone is None else _temperature(procfs.number(_quick_zone)),
    }


def _gpu_khz(name: str) -> Optional[int]:
    """Return a GPU clock; its files hold Hz. None: the board has no such GPU."""
    folder = _gpu(procfs.root())
    hz = procfs.number(f"{folder}/{name}_freq") if folder else None
    return None if hz is None else hz // 1000


@functools.lru_cache(maxsize=16)
def _gpu(root: str) -> Optional[str]:  # noqa: ARG001 - the key: another root is another board
    return next(filter(GPU.search, procfs.paths("sys/class/devfreq/*")), None)


@functools.lru_cache(maxsize=16)
def _clock_files(root: str, cpus: Tuple[int, ...]) -> Tuple[str, ...]:
    """Return one file for each group of cores that share a clock: their cpufreq links to one folder."""
    files = [f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq" for cpu in cpus]
    groups = {os.path.realpath(os.path.join(root, file)): file for file in files or procfs.of_cores("scaling_cur_freq")}
    return tuple(sorted(groups.values()))
