"""A file that any instrument has written, read when the board has finished.

Rail: what the instrument measures (`rail` names it). Settings: path; rail, gain_percent.
The first line names the columns: `time` in seconds, and `watts`, or `volts` and `amps`; others are ignored. The instrument's
clock may be any clock: the pattern of load at the start of each launch aligns it.
Rate and accuracy: the instrument's; the rate is the median of its steps, the gain is unknown without `gain_percent`.
"""

import csv
import math
import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median

from device_agent.wire import MeterInfo, PowerTrace
from targets.errors import MeterUnavailable
from targets.meters import MEASURED, checked, gain_ppm

SLOWEST_NS = 100_000_000  # assumed before the file exists: 10 Hz


def open_meter(settings: Mapping[str, str]) -> "_File":
    checked("csv", settings, "path", "rail")
    if not settings.get("path"):
        raise MeterUnavailable(
            "the meter csv needs `path`, the file that the instrument writes",
            hint="Name it in the board's table of boards.toml: [NAME.meters.csv].",
        )
    return _File(settings)


class _File:
    own_clock = True

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.path, self.gain_ppm = Path(os.path.expanduser(settings["path"])), gain_ppm(settings)  # noqa: PTH111
        rail = settings.get("rail", "what the instrument measures")
        self.info = MeterInfo("csv", rail, MEASURED, SLOWEST_NS, accumulates=False, error="")

    def start(self) -> None:
        """Do nothing: the instrument writes by itself."""

    def stop(self) -> PowerTrace:
        try:
            readings, note = read(self.path), ""
        except (OSError, ValueError, csv.Error) as error:
            readings, note = [], f"{self.path.name} cannot be read: {error}"
        steps = [round((after - before) * 1e9) for (before, _), (after, _) in pairwise(readings)]
        return PowerTrace(
            meter="csv",
            rail=self.info.rail,
            quality=MEASURED,
            gain_ppm=self.gain_ppm,
            offset_uw=None,
            period_ns=max(1, round(median(steps))) if steps else SLOWEST_NS,
            delay_ns=0,
            t_ns=tuple(round(seconds * 1e9) for seconds, _ in readings),
            power_uw=tuple(round(watts * 1e6) for _, watts in readings),
            energy_uj=(),
            failed=0,
            missed=0,
            reading_ns=0,
            note=note,
        )


def read(path: Path) -> list[tuple[float, float]]:
    """Return (seconds, watts) of each line. ValueError says which line is wrong."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.DictReader(file)
        names = set(lines.fieldnames or ())
        if "time" not in names or not ("watts" in names or {"volts", "amps"} <= names):
            raise ValueError("its columns must be named time, and watts, or volts and amps")
        readings = []
        for line in lines:
            try:
                watts = float(line["watts"]) if "watts" in names else float(line["volts"]) * float(line["amps"])
                reading = (float(line["time"]), watts)
            except (TypeError, ValueError):
                raise ValueError(f"line {lines.line_num} has a value that is not a number") from None
            if not all(map(math.isfinite, reading)) or abs(reading[0]) > 4e9 or abs(watts) > 1e6:
                raise ValueError(f"line {lines.line_num} is out of range")
            readings.append(reading)
    return readings
