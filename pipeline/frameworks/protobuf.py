"""Walk through the fields of protobuf messages from elsewhere, without their classes. Nothing is copied.

Encoding: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
LONGEST_VARINT = 10  # bytes: 64 bits, 7 in each


class DamagedError(ValueError):
    """The bytes are not whole protobuf messages."""


class Field(NamedTuple):
    """One field of a message, by offsets into the bytes that it is in."""

    number: int
    wire: int
    begin: int  # of its tag
    value: int  # where a number or the content begins
    end: int


def fields(data: bytes | memoryview, begin: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message between two offsets. DamagedError where one ends after `end`, or is of an unknown kind."""
    at = begin
    while at < end:
        tag, value = varint(data, at, end)
        wire = tag & 7
        if wire == VARINT:
            after = varint(data, value, end)[1]
        elif wire == BYTES:
            length, value = varint(data, value, end)
            after = value + length
        elif wire in (FIXED_64, FIXED_32):
            after = value + (8 if wire == FIXED_64 else 4)
        else:
            raise DamagedError(f"a field at byte {at} has the unknown kind {wire}")
        if after > end:
            raise DamagedError(f"a field at byte {at} ends at byte {after}, outside of its message")
        yield Field(tag >> 3, wire, at, value, after)
        at = after


def varint(data: bytes | memoryview, at: int, end: int) -> tuple[int, int]:
    """Return the number at an offset, and the offset after it."""
    number = 0
    for place in range(LONGEST_VARINT):
        if at + place >= end:
            raise DamagedError(f"a number at byte {at} is cut off")
        byte = data[at + place]
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number, at + place + 1
    raise DamagedError(f"a number at byte {at} is longer than 64 bits")


def encoded(number: int) -> bytes:
    """Return a number that is not negative as a varint."""
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
