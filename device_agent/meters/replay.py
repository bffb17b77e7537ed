"""A recorded trace in place of a meter, for tests: lines "seconds watt" in the file `path`, played from the first reading on.

Rail, rate and accuracy are what the recording had: `rail`, `period_ms` (10) and `gain_percent`. Its readings are not from this
board now: its quality is "coarse", and the report names the meter.
"""

import bisect
import time
from typing import Dict, List

from device_agent.meters._meter import COARSE, Meter, checked, number

AUTO = False


def open_meter(settings: Dict[str, str]) -> Meter:
    checked(settings, ("path", "rail", "period_ms"))
    with open(settings.get("path", ""), encoding="ascii") as file:
        lines = [line.split() for line in file if line.strip()]
    try:
        readings = [(float(seconds), float(watt)) for seconds, watt in lines]
    except ValueError as error:
        raise OSError("a line is not two numbers, seconds and watts") from error
    if not readings or readings != sorted(readings, key=lambda reading: reading[0]):
        raise OSError("the recording is empty, or its time goes backwards")
    return _Replay(settings, [each[0] for each in readings], [each[1] for each in readings])


class _Replay(Meter):
    quality = COARSE

    def __init__(self, settings: Dict[str, str], seconds: List[float], watts: List[float]) -> None:
        self.rail = settings.get("rail", "a recording")
        self.period_ns = round(number(settings, "period_ms", 10) * 1e6)
        self.seconds, self.watts = seconds, watts
        self.began_ns = time.monotonic_ns()

    def read(self) -> int:
        """Return the last reading recorded by now. OSError after the end."""
        now_s = (time.monotonic_ns() - self.began_ns) / 1e9 + self.seconds[0]
        if now_s > self.seconds[-1]:
            raise OSError("the recording is over")
        return round(self.watts[bisect.bisect_right(self.seconds, now_s) - 1] * 1e6)
