"""The power management chip of the Raspberry Pi 5, by `vcgencmd pmic_read_adc`.

Rail: the sum of the chip's rails that have both a voltage and a current (12 on a Pi 5). Devices that run from 5 V directly,
USB and HATs, are not included; EXT5V has a voltage and no current, so it is not a rail.
Rate: at most 10 Hz: each reading starts a program (50 Hz made one project's run six times slower).
Accuracy: coarse. The firmware's readings are not calibrated and their error is not published; a public fit to an external meter
found the board's power at 1.1451 x sum + 0.5879 W. It is not applied here: it is from a single board.
Sources: Raspberry Pi documentation, vcgencmd; public samples of its output.
"""

import re
import subprocess
from typing import Dict

from device_agent.board import procfs
from device_agent.meters._meter import COARSE, Meter, checked

AUTO = True
READING = re.compile(r"^\s*(\w+)_[AV] (current|volt)\(\d+\)=([0-9.]{1,20})[AV]$", re.MULTILINE)


def open_meter(settings: Dict[str, str]) -> Meter:
    checked(settings, ())
    vcgencmd = procfs.program("vcgencmd")
    if vcgencmd is None:
        raise OSError("there is no vcgencmd on this board")
    return _Pmic(vcgencmd)


class _Pmic(Meter):
    quality = COARSE
    period_ns = 100_000_000
    delay_ns = 20_000_000  # the program's start and the mailbox: a guess at the upper end, without a source

    def __init__(self, vcgencmd: str) -> None:
        self.command = (vcgencmd, "pmic_read_adc")
        self.rails = len(_powers(self._ask()))
        if not self.rails:
            raise OSError("its firmware reports no rail with voltage and current (only a Pi 5 does)")
        self.rail = "the sum of %d PMIC rails, without 5 V devices" % self.rails

    def read(self) -> int:
        powers = _powers(self._ask())
        if len(powers) != self.rails:
            raise OSError("vcgencmd reported %d rails, not %d" % (len(powers), self.rails))
        return round(sum(powers.values()) * 1e6)

    def _ask(self) -> str:
        try:
            done = subprocess.run(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
                timeout=procfs.LIMIT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise OSError("vcgencmd does not answer") from error
        return done.stdout.decode("ascii", "replace")


def _powers(output: str) -> Dict[str, float]:
    """Return the watts of each rail that has both a current and a voltage."""
    found: Dict[str, Dict[str, float]] = {"current": {}, "volt": {}}
    for rail, what, value in READING.findall(output):
        found[what][rail] = float(value)
    return {rail: ampere * found["volt"][rail] for rail, ampere in found["current"].items() if rail in found["volt"]}
