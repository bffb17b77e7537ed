"""Power meters that this machine reads while the board works: one file each, one line in METERS.

A meter's docstring states the rail, the rate, the accuracy and the source. Its file has
    open_meter(settings)     an open HostMeter; MeterUnavailable says why it cannot be read
None of them was tried on its hardware: none was available. The tests use simulated ones.
"""

import threading
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Protocol

from device_agent.wire import MeterInfo, MeterUse, PowerTrace
from targets.errors import MeterUnavailable

METERS = {
    "joulescope": "targets.meters.joulescope",
    "shelly": "targets.meters.shelly",
    "csv": "targets.meters.csv",
}
CLOCKLESS = frozenset({"csv"})  # meters whose times need a known pattern of load to be aligned
COARSE, MEASURED = "coarse", "measured"
FAST_PATTERN_S, SLOW_PATTERN_S = 0.5, 5.0  # busy and idle, alternating; a meter of 1 Hz does not see half seconds


class HostMeter(Protocol):
    """start(), then stop() returns the readings, in this machine's CLOCK_MONOTONIC unless `own_clock`."""

    info: MeterInfo
    own_clock: bool  # it uses another clock, which only a known pattern of load can align

    def start(self) -> None: ...
    def stop(self) -> PowerTrace: ...


def open_meter(use: MeterUse) -> HostMeter:
    """Open a meter. MeterUnavailable says why it cannot be read."""
    settings = dict(use.settings)
    meter: HostMeter = import_module(METERS[use.name]).open_meter(settings)
    return meter


def pattern_s(infos: list[MeterInfo]) -> float:
    """Return how long each part of the pattern must be for the slowest of these; 0 without meters."""
    if not infos:
        return 0.0
    return SLOW_PATTERN_S if max(info.period_ns for info in infos) > 0.1e9 else FAST_PATTERN_S


class Polled:
    """A meter whose power is polled in its own thread."""

    own_clock = False

    def __init__(self, info: MeterInfo, settings: Mapping[str, str]) -> None:
        self.info = info
        self.gain_ppm = gain_ppm(settings)
        self.readings: list[tuple[int, int]] = []
        self.failed = self.missed = self.reading_ns = 0
        self.note = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def read(self) -> int:
        """Return the power in microwatts. OSError if the reading failed."""
        raise NotImplementedError

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> PowerTrace:
        self._ended.set()
        self._thread.join(5)
        readings = list(self.readings)
        return PowerTrace(
            meter=self.info.name,
            rail=self.info.rail,
            quality=self.info.quality,
            gain_ppm=self.gain_ppm,
            offset_uw=None,
            period_ns=self.info.period_ns,
            delay_ns=self.info.period_ns,
            t_ns=tuple(t_ns for t_ns, _ in readings),
            power_uw=tuple(power_uw for _, power_uw in readings),
            energy_uj=(),
            failed=self.failed,
            missed=self.missed,
            reading_ns=self.reading_ns,
            note=self.note,
        )

    def _poll(self) -> None:
        next_ns = time.monotonic_ns()
        while not self._ended.wait(max(0.0, (next_ns - time.monotonic_ns()) / 1e9)):
            before_ns = time.monotonic_ns()
            try:
                power_uw = self.read()
            except OSError as error:
                self.failed += 1
                self.note = f"a reading failed: {error}"
            else:
                self.readings.append(((before_ns + time.monotonic_ns()) // 2, power_uw))
            now_ns = time.monotonic_ns()
            self.reading_ns += now_ns - before_ns
            next_ns += self.info.period_ns
            while next_ns < now_ns:
                next_ns += self.info.period_ns
                self.missed += 1


def gain_ppm(settings: Mapping[str, str]) -> int | None:
    """Return the gain error of the user's own calibration, `gain_percent`; None: unknown. MeterUnavailable if it is not a number."""
    return None if "gain_percent" not in settings else round(number(settings, "gain_percent") * 10_000)


def number(settings: Mapping[str, str], key: str, default: float = 0.0) -> float:
    try:
        value = float(settings.get(key, default))
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise MeterUnavailable(f"{key} must be a number above 0", hint="Correct it in boards.toml.")
    return value


def checked(name: str, settings: Mapping[str, str], *keys: str) -> None:
    """MeterUnavailable for a key that this meter does not have."""
    known = (*keys, "gain_percent")
    if unknown := sorted(set(settings) - set(known)):
        raise MeterUnavailable(
            f"the meter {name} has no setting {', '.join(unknown)}", hint=f"It has {', '.join(known)}."
        )
