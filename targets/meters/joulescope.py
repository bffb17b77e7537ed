"""Joulescope JS110 and JS220, on this machine's USB, by the optional package pyjoulescope_driver (the extra `joulescope`).

Rail: what runs through it, usually the board's whole supply. Settings: device, if there are several; gain_percent.
Rate: the JS220 samples at 1 MHz and the JS110 at 2 MHz; the instrument (or driver) integrates the energy, which is read at 10 Hz.
Accuracy: see the maker's specification for the range in use; the gain is unknown here without `gain_percent`.
Source: the driver's entry points `statistics` and `measure` (topics s/stats/*, accumulators).
"""

import threading
import time
from collections.abc import Mapping
from typing import Any

from device_agent.wire import MeterInfo, PowerTrace
from targets.errors import MeterUnavailable
from targets.meters import MEASURED, checked, gain_ppm

FREQUENCY_HZ = 10
RATES_HZ = {"js110": 2_000_000, "js220": 1_000_000}
DELAY_NS = 50_000_000  # over USB and through the driver's thread: an upper limit; the pattern of load is more exact


def open_meter(settings: Mapping[str, str]) -> "_Joulescope":
    checked("joulescope", settings, "device")
    try:
        from pyjoulescope_driver import Driver
    except ImportError as error:
        raise MeterUnavailable(
            "the package pyjoulescope_driver is not installed", hint="Install edgepress[joulescope]."
        ) from error
    driver = Driver()
    wanted = settings.get("device", "")
    found = [path for path in driver.device_paths() if wanted in path and any(model in path for model in RATES_HZ)]
    if len(found) != 1:
        raise MeterUnavailable(
            f"found {len(found)} Joulescopes{f' whose name contains {wanted}' if wanted else ''}, not one",
            hint="Is it connected, and not used by another program? Name one with `device`.",
        )
    return _Joulescope(driver, found[0], settings)


class _Joulescope:
    own_clock = False

    def __init__(self, driver: Any, device: str, settings: Mapping[str, str]) -> None:
        self.driver, self.device, self.gain_ppm = driver, device, gain_ppm(settings)
        self.info = MeterInfo(
            "joulescope",
            "what runs through the Joulescope",
            MEASURED,
            10**9 // FREQUENCY_HZ,
            accumulates=True,
            error="",
        )
        self.readings: list[tuple[int, int]] = []
        self.failed = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        model = next(model for model in RATES_HZ if model in self.device)
        say = self.driver.publish
        self.driver.open(self.device)
        say(f"{self.device}/s/i/range/{'select' if model == 'js110' else 'mode'}", "auto")
        if model == "js110":  # the driver integrates
            for signal in "ivp":
                say(f"{self.device}/s/{signal}/ctrl", 1)
        say(f"{self.device}/s/stats/scnt", RATES_HZ[model] // FREQUENCY_HZ)
        say(f"{self.device}/s/stats/ctrl", 1)
        self.driver.subscribe(f"{self.device}/s/stats/value", "pub", self._hear)

    def stop(self) -> PowerTrace:
        self.driver.unsubscribe(f"{self.device}/s/stats/value", self._hear)
        self.driver.publish(f"{self.device}/s/stats/ctrl", 0)
        self.driver.close(self.device)
        with self._lock:
            readings = list(self.readings)
        return PowerTrace(
            meter="joulescope",
            rail=self.info.rail,
            quality=MEASURED,
            gain_ppm=self.gain_ppm,
            offset_uw=None,
            period_ns=self.info.period_ns,
            delay_ns=DELAY_NS,
            t_ns=tuple(t_ns for t_ns, _ in readings),
            power_uw=(),
            energy_uj=tuple(energy_uj for _, energy_uj in readings),
            failed=self.failed,
            missed=0,
            reading_ns=0,
            note="",
        )

    def _hear(self, _topic: str, value: Any) -> None:
        now_ns = time.monotonic_ns()
        with self._lock:
            try:
                self.readings.append((now_ns, round(value["accumulators"]["energy"]["value"] * 1e6)))
            except (KeyError, TypeError, ValueError):
                self.failed += 1
