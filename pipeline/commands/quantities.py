"""Sizes and times as people write them, for options of commands."""

import re

import click

from pipeline import spelling

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
TIME = re.compile("([0-9]{1,15})([smhdw]?)")


class Size(click.ParamType):  # type: ignore[type-arg]
    """200MB, 1.5GiB or a number of bytes -> bytes."""

    name = "SIZE"

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> int:
        size_bytes = spelling.bytes_of(str(value))
        if size_bytes is None or size_bytes > spelling.LARGEST_BYTES:
            self.fail(f"{str(value)[:80]!r} is not a size such as 200MB or 1GB", param, context)
        return size_bytes


class Duration(click.ParamType):  # type: ignore[type-arg]
    """30m, 12h, 8w or a number of seconds -> seconds."""

    name = "TIME"

    def __init__(self, such_as: str, least_s: int = 0, longest_s: int | None = None) -> None:
        """`such_as` follows "is not a time such as"."""
        self.such_as, self.least_s, self.longest_s = such_as, least_s, longest_s

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> int:
        match = TIME.fullmatch(str(value))
        seconds = int(match[1]) * SECONDS[match[2]] if match else -1
        if seconds < self.least_s or (self.longest_s is not None and seconds > self.longest_s):
            self.fail(f"{str(value)[:80]!r} is not a time such as {self.such_as}", param, context)
        return seconds
