"""The range of each field of a record, by its name or by the unit at the end of its name. Values outside it are refused.

The ranges are wide enough for any board, kernel or clock. plausible.py checks a launch more closely, against its request. A field
without a range fails a test, so that none is forgotten. The host decides what it believes: none of this is in the agent.
"""

import functools
import math
import re
import sys
from typing import Any, NamedTuple

from device_agent import wire

# Limits on a line of wire.MAX_LINE_BYTES, counted before it is parsed: a list takes up to 20 times the memory of its text.
MOST_OF = {b",": 2_200_000, b'"': 1_000_000, b"[": 200_000, b"{": 200_000}  # a million times, and two lists of readings
CENTURY_NS = 100 * 365 * 86_400 * 10**9
# One inference, as seen from Python. On a PC of 2024 two readings of the clock are 69 ns apart, and 104 ns with a call of an empty
# function between them (measured): half of that leaves room for a faster PC, and no runtime can infer in it.
LEAST_LATENCY_NS = 50
MOST_TIMES = 1_000_000  # MAX_RUNS in bench/check.py, and the same for readings of a meter

NUMBERS = {
    "latency_ns": (LEAST_LATENCY_NS, CENTURY_NS),
    "warmup_ns": (LEAST_LATENCY_NS, CENTURY_NS),
    "wall_offset_ns": (-CENTURY_NS, 2**63 - 1),  # the clock may be set to any date
    "protocol": (1, 10_000),
    "cpu_count": (1, 65_536),
    "bits": (32, 64),
    "seq": (0, 10**9),
    "after_seq": (0, 10**9),
    "index": (0, 10**6),
    "cycle": (0, 10**6),
    "launches": (0, 10**6),
    "threads": (0, 65_536),  # LIMITS in bench/check.py is stricter, with a better message
    "cpu": (0, 65_535),
    "cpus": (0, 65_535),
    "done": (0, CENTURY_NS),  # of a phase: nanoseconds, rows or thousandths
    "of": (0, CENTURY_NS),
    "runs": (0, 2**40),
    "failed": (0, 10**12),
    "missed": (0, 10**12),
    "idle": (0, CENTURY_NS),
    "busy": (0, CENTURY_NS),
    "sampler": (0, CENTURY_NS),
    "shape": (0, 2**40),
    "golden": (
        -sys.float_info.max,
        sys.float_info.max,
    ),  # the runner sends the upper one for values that are not finite
}
UNITS = {
    "ns": (0, CENTURY_NS),
    "us": (0, 10**18),  # all CPUs together, since the board was started
    "bytes": (0, 2**50),
    "khz": (0, 10**8),
    "mc": (-100_000, 300_000),  # no board survives more; the agent drops firmware's "unknown" (-273200)
    "mv": (0, 10**6),
    "uw": (-(10**12), 10**12),  # negative: a battery being charged
    "uj": (0, 2**63 - 1),
    "ppm": (0, 10**13),
    "milli": (0, 10**12),
    "centi": (0, 10**5),
    "pages": (0, 10**18),
    "count": (0, 10**15),
    "runs": (0, 2**40),
    "rows": (0, 10**9),
    "flags": (0, 2**32 - 1),
    "states": (0, 10**9),
    "switches": (0, 10**12),
    "faults": (0, 10**12),
}

HASH = "[0-9a-f]{64}"
TEXTS = {  # the whole text must match; other texts are for people, with any characters
    "sha256": HASH,
    "agent_sha256": HASH,
    "model_sha256": HASH + "|",
    "inputs_sha256": HASH + "|",
    "files_sha256": HASH + "|",
    "outputs_sha256": HASH,
    "blobs": HASH,
    "sites": HASH,
    "job_id": "[0-9a-f]{32}",
    "side": "A|B",
    "state": "RUNNING|FINISHED|CANCELLED|FAILED|TIMEOUT|KILLED|LOST",
    "quality": "measured|coarse",
    # the host makes names, folders and pip options from these
    "arch": "[A-Za-z0-9_]{1,32}",
    "python": r"[0-9]{1,2}\.[0-9]{1,3}\.[0-9]{1,3}",
    "libc": "glibc|musl|",
    "libc_version": "([0-9][0-9A-Za-z._+-]{0,39})?",
    "packages": "[a-z0-9-]{1,64} [0-9][!-~]{0,63}",
    "meter": "[a-z0-9_]{1,64}",
    "errno": "[A-Z0-9]{0,32}",
}
LONG_TEXTS = {"changed": 20_000, "refused": 20_000, "restored": 20_000}  # commands that name a file for each core

ITEMS = {  # the maximum length of a list
    "inputs": 1000,
    "outputs": 1000,
    "inputs_sha256": 1000,
    "files_sha256": 1002,
    "rows": 1000,
    "fed": 1000,
    "gives": 1000,
    "preprocess_ns": MOST_TIMES,
    "inference_ns": MOST_TIMES,
    "outputs_sha256": 1000,
    "state": 1000,
    "shape": 64,
    "latency_ns": MOST_TIMES,
    "warmup_ns": 65_536,  # runner.WARMUP_KEEP
    "golden": 256,  # wire.GOLDEN_ROWS x wire.GOLDEN_VALUES
    "t_ns": MOST_TIMES,
    "power_uw": MOST_TIMES,
    "energy_uj": MOST_TIMES,
    "blobs": 100_000,
    "sites": 100_000,
    "launches": 100_000,
    "pairs": 10_000,
    "cycles": 10_000,
    "blocks": 40_000,
    "operators": 50_000,
    "jobs": 10_000,
    "cores": 4096,
    "cpus": 4096,
    "changed": 10_000,
    "refused": 10_000,
    "restored": 10_000,
    "kept": 10_000,
    "memory": 16,
    "idle": 2,
    "busy": 16,
    "sampler": 64,
    "delegates": 64,
    "packages": 64,
    "meters": 64,
    "uses": 64,
    "settings": 64,
    "power": 64,
}


class RangeError(wire.WireError):
    """A record of the protocol with an impossible value."""


class Limits(NamedTuple):
    """The limits of one field. None: it holds no value of that kind, or any text."""

    numbers: tuple[float, float] | None
    pattern: str | None
    characters: int
    items: int


@functools.cache
def of(field: str) -> Limits:
    return Limits(
        numbers=NUMBERS.get(field) or UNITS.get(field.rpartition("_")[2]),
        pattern=TEXTS.get(field),
        characters=LONG_TEXTS.get(field, wire.MAX_TEXT),
        items=ITEMS.get(field, 0),
    )


def decode(line: bytes) -> Any:
    """Return the record in a line that a board has sent. WireError; RangeError names the field and its range."""
    for what, most in MOST_OF.items():
        if line.count(what) > most:
            raise wire.WireError(f"a line with more than {most} times {what.decode()} is not a record")
    record = wire.decode(line)
    try:
        check(record)
    except RangeError as error:
        index = getattr(record, "index", -1)
        raise RangeError(
            f"{error} in launch {index + 1}" if 0 <= index <= NUMBERS["index"][1] else str(error)
        ) from None
    return record


def check(record: wire.Record) -> None:
    """RangeError for the first impossible value."""
    for name, value in vars(record).items():
        why_not = _refused(name, value)
        if why_not:
            raise RangeError(f"{type(record).__name__}.{name} {why_not}")


def _refused(name: str, value: Any) -> str:
    """Return why this field, or an item of it, cannot have this value; "": it can."""
    limits = of(name)
    if isinstance(value, wire.Record):
        check(value)
    elif isinstance(value, tuple):
        if len(value) > limits.items:
            return f"has {len(value)} items, more than {limits.items}"
        if value and isinstance(value[0], int) and limits.numbers:  # raw times are long lists of int
            value = min(value) if min(value) < limits.numbers[0] else max(value)
            return _refused(name, value)
        return next(filter(None, (_refused(name, item) for item in value)), "")
    elif isinstance(value, str):
        if len(value) > limits.characters:
            return f"has {len(value)} characters, more than {limits.characters}: {value[:80]!r}"
        if limits.pattern is not None and not re.fullmatch(limits.pattern, value):
            return f"= {value[:80]!r}, not {limits.pattern}"
    elif value is not None and not isinstance(value, bool):
        low, high = limits.numbers or (math.nan, math.nan)
        if not low <= value <= high:  # nor NaN
            return f"= {value}, not {low} to {high}"
    return ""
