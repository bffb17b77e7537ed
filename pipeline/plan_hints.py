"""Hints on values of another kind than a plan's key takes, by what msgspec says of them."""

import json
import re
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean

OF_A_MODEL = {
    "constants": ("Give a number, or lists in lists with the shape of the input", "sr", "16000"),
    "shape": ("Give the lengths of all axes of the input, each of them 1 or more", "x", "[1, 3, 48, 192]"),
    "state": ("Give pairs of an input and the output that has its next value", "h", '"hn"'),
}
"""Keys of [model] that are tables by names of inputs: what to write, and an example of a name and its value."""


def brackets(what: str, at: str, known: tuple[str, ...]) -> str:
    """Return a sentence on the slips in writing a list or a table, followed by a space."""
    if what.startswith("expected `object`, got `array`") and known:
        return "It is one table: write its name in single brackets. "
    if what.startswith("expected `object`, got") and not known:
        return 'It is a table of names: write it in braces, { "name" = ... }. '
    if re.match(r"expected `array`, got `(str|int)`", what):
        example = "[0, 1]" if at.endswith("cpus") else '["like this"]'
        return f"It is a list: write it in brackets, {example}. "
    if re.match(r"expected `str`, got `(int|float|bool)`", what):
        return "Write it in quotes. "
    return ""


def choices(what: str, at: str, kind: Any) -> str:
    """Return a sentence with the words of which a value must be one, followed by a space; "" where it is not of that kind.

    `at`: the key below `kind`, a table of the plan.
    """
    value = re.match(r"Invalid enum value '(.*?)'", what, re.DOTALL)
    if value is None:
        return ""
    for name in filter(None, re.split(r"[.\[]", at)):
        table = table_in(kind)
        if table is not None:
            kind = next((field.type for field in msgspec.structs.fields(table) if field.name == name), kind)
    parts = list(_parts(kind))
    words = [each for each in parts if isinstance(each, str)]
    number = ", or a number" if int in parts else ""
    return f"{did_you_mean(value[1], words)}It is one of {', '.join(words)}{number}. " if words else ""


def table_in(kind: Any) -> type[msgspec.Struct] | None:
    """Return the table that a value of this type is, or of which it is a list; None: it is of another kind."""
    return next((each for each in _parts(kind) if isinstance(each, type) and issubclass(each, msgspec.Struct)), None)


def _parts(kind: Any) -> Iterator[Any]:
    """Yield what a type is made of: the texts of Literals, and types that have no parts."""
    arguments = typing.get_args(kind)
    if not arguments:
        yield kind
    for each in arguments:
        yield from _parts(each)


def of_a_model(at: str) -> str:
    """A sentence on a table of [model] by names of inputs, followed by a space; "" for all others."""
    found = re.match(r"model\.(\w+)(?:$|\.|\[)", at)
    if found is None or found[1] not in OF_A_MODEL:
        return ""
    what, name, value = OF_A_MODEL[found[1]]
    return f'{what}: {found[1]} = {{ "{name}" = {value} }}. '


def with_names(at: str, raw: object, kind: Any, table: str) -> str:
    """Write the name of an entry for msgspec's "[...]", which stands for each key of a table whose keys are the user's own."""
    before, dots, after = at.partition("[...]")
    if not dots:
        return at
    for part in filter(None, before.removeprefix(table).lstrip(".").split(".")):
        kind = next((field.type for field in msgspec.structs.fields(kind) if field.name == part), Any)
        raw = raw.get(part) if isinstance(raw, dict) else None
        if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
            break
    name = next(_refused(raw, kind), None) if isinstance(raw, dict) else None
    if name is None:
        return at
    return f"{before}.{name if re.fullmatch(r'[A-Za-z0-9_-]+', name) else json.dumps(shortened(name, 100), ensure_ascii=False)}{after}"


def _refused(entries: dict[str, Any], kind: Any) -> Iterator[str]:
    for name, value in entries.items():
        try:
            msgspec.convert({name: value}, kind)
        except msgspec.ValidationError:
            yield name


def without_unit(what: str, at: str) -> str:
    """A sentence on a number that was written as text, followed by a space. Sizes and shares may be: plan_file."""
    if not re.match(r"expected `(int|float)", what) or not what.endswith("got `str`"):
        return ""
    key = at.rpartition(".")[2]
    unit = next((each for each in ("minutes", "seconds") if key.endswith(each)), "")
    return f"Give a number{f' of {unit}' if unit else ''}, without quotes or a unit. "
