"""What every record is, and how files are called."""

from typing import Annotated

import msgspec

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all records."""


VARIANTS = ("original", "compressed", "baseline")
"""Of a file. Any other variant is the model behind one pass of a longer chain: `step_variant`."""


def step_variant(number: int, name: str) -> str:
    """The variant of the model as the pass `name` left it, which is the `number`th of the chain."""
    return f"{number}-{name}"


def file_of(variant: str, format_name: str, name: str, role: str) -> str:
    """What a file is called: by its own name where it was given, and by its role where the plan has a baseline."""
    return (name or f"{variant} {format_name}") + (f" ({role})" if role else "")


def label_of(file: str, runtime: str, threads: int | None = None) -> str:
    """The name of one file in one runtime, wherever it is spoken of. `threads`: where it is not the number that is judged."""
    return f"{file} @ {runtime}" + ("" if threads is None else f" x{threads}")
