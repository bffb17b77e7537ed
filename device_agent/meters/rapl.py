"""The energy counters of Intel's and AMD's processors (RAPL), by the kernel's powercap.

Rail: the sum of the processor packages: cores, caches and graphics; not memory, disks, fans and power supply.
Rate: the counters are updated every millisecond and read at 50 Hz, a few microseconds each; they wrap at max_energy_range_uj (minutes to hours).
Accuracy: Intel states none; it is measured on server processors and modelled on older ones, so the gain is unknown.
Readable only by root on most systems (mode 0400, since CVE-2020-8694). Absent on ARM boards and in virtual machines.
Sources: kernel Documentation/power/powercap/powercap.rst; Intel SDM volume 3B, 15.10 (RAPL).
"""

from typing import Dict, List

from device_agent.board import procfs
from device_agent.meters._meter import Meter, checked

AUTO = True


def open_meter(settings: Dict[str, str]) -> Meter:
    checked(settings, ())
    zones = [
        zone
        for zone in procfs.paths("sys/class/powercap/intel-rapl:*")
        if (procfs.text(zone + "/name") or "").startswith("package-")
    ]
    if not zones:
        raise OSError("the kernel shows no RAPL package")
    if any(procfs.number(zone + "/energy_uj") is None for zone in zones):
        raise OSError("only root may read its counters (chmod o+r /sys/class/powercap/intel-rapl:*/energy_uj)")
    return _Rapl([_Package(zone) for zone in zones])


class _Rapl(Meter):
    period_ns = 20_000_000
    delay_ns = 1_000_000
    accumulates = True

    def __init__(self, packages: "List[_Package]") -> None:
        self.packages = packages
        self.rail = "%d processor package(s), without memory and board" % len(packages)

    def read(self) -> int:
        return sum(package.read() for package in self.packages)


class _Package:
    def __init__(self, zone: str) -> None:
        self.zone = zone
        self.range_uj = procfs.number(zone + "/max_energy_range_uj") or 0
        self.last_uj = self.wrapped_uj = 0

    def read(self) -> int:
        """Return microjoules since some moment, over all wraps."""
        now_uj = procfs.number(self.zone + "/energy_uj")
        if now_uj is None:
            raise OSError("%s cannot be read" % self.zone)
        if now_uj < self.last_uj:
            if not self.range_uj:
                raise OSError("%s decreased, and max_energy_range_uj is missing" % self.zone)
            self.wrapped_uj += self.range_uj + 1
        self.last_uj = now_uj
        return self.wrapped_uj + now_uj
