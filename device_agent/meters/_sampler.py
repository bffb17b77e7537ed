"""Reads the meters of a launch while the runner infers."""

import contextlib
import os
import random
import threading
import time
from typing import Callable, List, Tuple

from device_agent import wire
from device_agent.meters import open_meter
from device_agent.meters._meter import Meter

JOIN_S = 3.0  # for a reading in progress; a meter that blocks longer is abandoned
NICE = -10
READ_PHASES = ("idle", "pattern", "with", "timed", "settle")  # of a runner in mode "energy" (bench/energy.py)


class Sampler:
    """Reads the meters of a launch, each in its own thread, so that a slow one delays no other."""

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
        """Stop all readers. May be called without enter(), and twice."""
        for reader in self.readers:
            reader.stopped = True
            reader.running.set()
        for reader in self.readers:
            reader.end()

    def traces(self) -> Tuple[wire.PowerTrace, ...]:
        return tuple(reader.trace() for reader in self.readers)


class _Reader:
    """One meter, read once in each period, at a random moment in it: in step with the inferences it would always hit the same
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
            meter=self.use.name,
            rail=meter.rail,
            quality=meter.quality,
            gain_ppm=meter.gain_ppm,
            offset_uw=meter.offset_uw,
            period_ns=meter.period_ns,
            delay_ns=meter.delay_ns,
            t_ns=tuple(t_ns for t_ns, _ in readings),
            power_uw=() if meter.accumulates else values,
            energy_uj=values if meter.accumulates else (),
            failed=self.failed,
            missed=self.missed,
            reading_ns=self.reading_ns,
            note=self.note,
        )

    def _run(self) -> None:
        # a thread that wakes late misses a period. Affects this thread alone (setpriority(2), Linux), and only root may
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
        moment = random.Random(0).random  # noqa: S311 - not security
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
