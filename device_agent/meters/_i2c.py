"""TI's current sensors on an I2C bus of the board, by the kernel's /dev/i2c-N.

No smbus2: the agent runs without the packages of the board's Python, and a chip with 16-bit registers needs one write and one
read (kernel Documentation/i2c/dev-interface.rst). Another program that reads the same chip could move its register pointer
between the two: use only one.
The figures are from general knowledge of the data sheets; they were not checked against the sheets or a chip.
"""

import fcntl
import os
from typing import Any, Callable, Dict, Tuple

from device_agent.board import procfs
from device_agent.meters._meter import Meter, checked, number, whole

I2C_SLAVE = 0x0703  # linux/i2c-dev.h; EBUSY if a kernel driver has the chip
TEXAS_INSTRUMENTS = 0x5449  # "TI", in the register of the maker
KEYS = ("address", "bus", "shunt_ohm", "shunt_tolerance_percent", "rail")


class Bus:
    """One chip on one bus."""

    def __init__(self, bus: int, address: int) -> None:
        self.file = os.open(os.path.join(procfs.root(), "dev/i2c-%d" % bus), os.O_RDWR)
        try:
            fcntl.ioctl(self.file, I2C_SLAVE, address)
        except BaseException:
            os.close(self.file)
            raise

    def read(self, register: int, size: int = 2) -> int:
        """Return an unsigned number, big-endian. OSError also if the chip sends less."""
        os.write(self.file, bytes([register]))
        data = os.read(self.file, size)
        if len(data) != size:
            raise OSError("the chip sent %d bytes of %d" % (len(data), size))
        return int.from_bytes(data, "big")

    def write(self, register: int, value: int) -> None:
        os.write(self.file, bytes([register]) + value.to_bytes(2, "big"))

    def close(self) -> None:
        os.close(self.file)


open_bus: Callable[[int, int], Any] = Bus


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


class Chip(Meter):
    """A chip at an address, with a shunt. `gain` and `offset_uv` are the data sheet's maxima."""

    gain = 0.0  # of voltage and current together, as a fraction
    offset_uv = 0.0  # of the shunt voltage
    identity: Tuple[Tuple[int, int], ...] = ()  # (register, what it must hold)
    has_shunt = True  # external, chosen by the user

    def __init__(self, settings: Dict[str, str]) -> None:
        checked(settings, KEYS if self.has_shunt else ("address", "bus", "rail"))
        self.rail = settings.get("rail", "what runs through its shunt")
        self.shunt_ohm = number(settings, "shunt_ohm") if self.has_shunt else 1.0
        # 1 %: of most boards sold
        tolerance = number(settings, "shunt_tolerance_percent", 1.0) if self.has_shunt else 0.0
        self.gain_ppm = round(self.gain * 1e6 + tolerance * 1e4)
        bus = whole(settings, "bus", 1, 0, 255)
        address = whole(settings, "address", 0x40, 0x08, 0x77)
        self.chip = open_bus(bus, address)
        try:
            for register, value in self.identity:
                found = self.chip.read(register)
                if found & 0xFFF0 != value & 0xFFF0:  # the last four bits: the revision
                    raise OSError(
                        "at %#x of bus %d is another chip: register %#x holds %#x" % (address, bus, register, found)
                    )
            self.start()
            self.offset_uw = round(self.offset_uv / self.shunt_ohm * self.volt())
        except BaseException:
            self.chip.close()
            raise

    def start(self) -> None:
        """Set the chip up."""

    def volt(self) -> float:
        raise NotImplementedError

    def close(self) -> None:
        self.chip.close()
