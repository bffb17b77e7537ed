"""Read FlatBuffers that may be damaged or made up: every offset is checked, and the work in one file is bounded.

Layout: https://flatbuffers.dev/internals/. A table begins with the distance to its vtable, which holds the place of each field; a
vector and a text begin with their length. Offsets are unsigned and lead forward, but tables may share parts, so a small file can
describe endless work: `Reader.left` bounds it.
"""

import struct
from collections.abc import Sequence

BUDGET = 5_000_000  # of numbers and characters read in one file: the largest files seen need 400,000
LONGEST_TEXT = 100_000  # bytes of one name


class DamagedError(ValueError):
    """The bytes are not the FlatBuffer that they should be; says where."""


class Reader:
    """The bytes of one file. Positions are offsets in bytes from its begin; a position of 0 is a part that is left out."""

    def __init__(self, data: bytes | memoryview, budget: int = BUDGET) -> None:
        self.data, self.size, self.left = data, len(data), budget

    def number(self, form: str, at: int) -> int:
        """Return the little-endian integer at a position. `form`: a letter of the struct module, such as "i" or "H"."""
        self._spend(1)
        if at < 0 or at + struct.calcsize(form) > self.size:
            raise DamagedError(f"an offset leads to byte {at}, and the file has {self.size}")
        value: int = struct.unpack_from("<" + form, self.data, at)[0]
        return value

    def root(self) -> int:
        """Return the position of the outermost table."""
        return self.number("I", 0)

    def field(self, table: int, index: int) -> int:
        """Return the position of the index-th field of a table, or 0 if it is left out."""
        vtable = table - self.number("i", table)
        if 4 + 2 * index + 2 > self.number("H", vtable):
            return 0
        distance = self.number("H", vtable + 4 + 2 * index)
        return table + distance if distance else 0

    def value(self, table: int, index: int, form: str, default: int = 0) -> int:
        """Return an integer field."""
        at = self.field(table, index)
        return self.number(form, at) if at else default

    def table(self, table: int, index: int) -> int:
        """Return the position of the table that a field leads to, or 0."""
        at = self.field(table, index)
        return at + self.number("I", at) if at else 0

    def vector(self, table: int, index: int, width: int) -> tuple[int, int]:
        """Return the position of a vector's first element, and how many of `width` bytes it has; (0, 0) if it is left out."""
        at = self.field(table, index)
        if not at:
            return 0, 0
        begin = at + self.number("I", at)
        count = self.number("I", begin)
        if count * width > self.size - begin - 4:
            raise DamagedError(f"a list of {count} parts at byte {begin} is longer than the file")
        return begin + 4, count

    def numbers(self, table: int, index: int, form: str) -> tuple[int, ...]:
        """Return a vector of integers."""
        return tuple(map(int, self._unpacked(table, index, form)))

    def reals(self, table: int, index: int) -> tuple[float, ...]:
        """Return a vector of float32."""
        return tuple(map(float, self._unpacked(table, index, "f")))

    def tables(self, table: int, index: int) -> list[int]:
        """Return the positions of the tables in a vector."""
        begin, count = self.vector(table, index, 4)
        self._spend(count)
        return [at + self.number("I", at) for at in range(begin, begin + 4 * count, 4)]

    def text(self, table: int, index: int) -> str:
        """Return a text field; what is not UTF-8 is replaced."""
        begin, count = self.vector(table, index, 1)
        if count > LONGEST_TEXT:
            raise DamagedError(f"a name at byte {begin} has {count} characters")
        self._spend(count)
        return bytes(self.data[begin : begin + count]).decode("utf-8", "replace")

    def _unpacked(self, table: int, index: int, form: str) -> Sequence[int | float]:
        begin, count = self.vector(table, index, struct.calcsize(form))
        self._spend(count)
        return struct.unpack_from(f"<{count}{form}", self.data, begin) if count else ()

    def _spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise DamagedError("it has more parts than any model: they lead to each other")
