"""Power meters: one file each, one line in METERS.

A meter's file says in its docstring the rail, the rate, the accuracy and the data sheet, and has
    AUTO: bool                  whether it can be found without settings
    open_meter(settings)        an open Meter (_meter.py) by its settings, a dict of texts; OSError says why it can not be read,
                                ValueError which setting is wrong
None of them was tried on the hardware that it is for: none was at hand. The tests read recorded and simulated ones.
"""

import contextlib
import importlib
import os
import random
import threading
import time
from typing import Any, Callable, List, Tuple

from device_agent import wire
from device_agent.meters._meter import COARSE, Meter, number

METERS = {
    "jetson_ina3221": "device_agent.meters.jetson_ina3221",
    "pi5_pmic": "device_agent.meters.pi5_pmic",
    "ina219": "device_agent.meters.ina219",
    "ina226": "device_agent.meters.ina226",
    "ina228": "device_agent.meters.ina228",
    "ina260": "device_agent.meters.ina260",
    "rapl": "device_agent.meters.rapl",
    "replay": "device_agent.meters.replay",
}

JOIN_S = 3.0  # for a reading that is on its way; a meter that blocks longer is left behind
NICE = -10
READ_PHASES = ("idle", "pattern", "with", "timed", "settle")  # of a runner in mode "energy" (bench/energy.py)


def open_meter(use: wire.MeterUse) -> Any:
    """A Meter that has been read once. OSError: it can not be read; ValueError: a setting is wrong."""
    if use.name not in METERS:
        raise ValueError("there is no meter %r, but %s" % (use.name, ", ".join(METERS)))
    settings = dict(use.settings)
    meter = importlib.import_module(METERS[use.name]).open_meter(settings)
    if "gain_percent" in settings:
        meter.gain_ppm = round(number(settings, "gain_percent") * 10_000)
    try:
        meter.read()
    except BaseException:
        meter.close()
        raise
    return meter


def listed(uses: Tuple[wire.MeterUse, ...]) -> wire.MeterList:
    """What these are; for (), those that the board has and that need no settings."""
    wanted = uses or tuple(
        wire.MeterUse(name, ()) for name, path in METERS.items() if importlib.import_module(path).AUTO
    )
    infos = [_info(use) for use in wanted]
    return wire.MeterList(tuple(info for info in infos if uses or not info.error))


def _info(use: wire.MeterUse) -> wire.MeterInfo:
    try:
        meter = open_meter(use)
    except (OSError, ValueError) as error:
        return wire.MeterInfo(use.name, "", COARSE, 0, False, str(error) or type(error).__name__)
    meter.close()
    return wire.MeterInfo(use.name, meter.rail, meter.quality, meter.period_ns, meter.accumulates, "")


class Sampler:
    """Reads the meters of a launch: each in a thread of its own, so that a slow one delays no other. The runner only infers."""

    def __init__(self, uses: Tuple[wire.MeterUse, ...]) -> None:
        self.readers = [_Reader(use) for use in uses]
        self._started = False

    def enter(self, phase: str) -> None:
        """The runner is in this phase now: read, or pause."""
        if phase in READ_PHASES and not self._started:
            self._started = True
            for reader in self.readers:
                reader.thread.start()
        for reader in self.readers:
            (reader.running.set if phase in READ_PHASES else reader.running.clear)()

    def stop(self) -> None:
        """May be called without enter(), and twice."""
        for reader in self.readers:
            reader.stopped = True
            reader.running.set()
        for reader in self.readers:
            reader.end()

    def traces(self) -> Tuple[wire.PowerTrace, ...]:
        return tuple(reader.trace() for reader in self.readers)


class _Reader:
    """One meter, read once in each period, at a random moment of it: in step with the inferences it would always meet the same
    part of one.
    """

    def __init__(self, use: wire.MeterUse) -> None:
        self.use = use
        self.running = threading.Event()
        self.stopped = False
        self.readings: List[Tuple[int, int]] = []
        self.failed = self.missed = self.reading_ns = 0
        self.note = ""
        self.meter = Meter()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def end(self) -> None:
        if self.thread.ident is None:
            return
        self.thread.join(JOIN_S)
        if self.thread.is_alive():
            self.note = "it does not answer: the last reading has not ended"

    def trace(self) -> wire.PowerTrace:
        readings, meter = list(self.readings), self.meter
        values = tuple(value for _, value in readings)
        return wire.PowerTrace(
            meter=self.use.name, rail=meter.rail, quality=meter.quality, gain_ppm=meter.gain_ppm, offset_uw=meter.offset_uw,
            period_ns=meter.period_ns, delay_ns=meter.delay_ns, t_ns=tuple(t_ns for t_ns, _ in readings),
            power_uw=() if meter.accumulates else values, energy_uj=values if meter.accumulates else (), failed=self.failed,
            missed=self.missed, reading_ns=self.reading_ns, note=self.note,
        )  # fmt: skip

    def _run(self) -> None:
        # who wakes late has missed a period. Of this thread alone (setpriority(2), Linux), and only root may
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        try:
            self.meter = open_meter(self.use)  # in this thread: it may block
        except (OSError, ValueError) as error:
            self.note = str(error) or type(error).__name__
            return
        self._read_all()
        with contextlib.suppress(OSError):
            self.meter.close()

    def _read_all(self) -> None:
        moment = random.Random(0).random  # noqa: S311 - no secret
        begin_ns, period_ns, last = time.monotonic_ns(), self.meter.period_ns, -1
        while not self.stopped:
            if not self.running.is_set():
                self.running.wait()
                last = -1
                continue
            now_ns = time.monotonic_ns()
            period = max(last + 1, (now_ns - begin_ns) // period_ns)
            self.missed += period - last - 1 if last >= 0 else 0
            last = period
            time.sleep(max(0.0, begin_ns + (period + moment()) * period_ns - now_ns) / 1e9)
            if self.running.is_set() and not self.stopped:
                self._read(time.monotonic_ns)

    def _read(self, clock: Callable[[], int]) -> None:
        before_ns = clock()
        try:
            value = self.meter.read()
        except (OSError, ValueError) as error:
            self.failed += 1
            self.note = "a reading failed: %s" % error
        else:
            self.readings.append(((before_ns + clock()) // 2, value))
        self.reading_ns += clock() - before_ns
