"""Hints on values of another kind than a plan's key takes, by what msgspec says of them."""

import re


def brackets(what: str, at: str, known: tuple[str, ...]) -> str:
    """Return a sentence on the slips in writing a list or a table, followed by a space."""
    if what.startswith("expected `object`, got `array`") and known:
        return "It is one table: write its name in single brackets. "
    if re.match(r"expected `array`, got `(str|int)`", what):
        example = "[0, 1]" if at.endswith("cpus") else '["like this"]'
        return f"It is a list: write it in brackets, {example}. "
    if re.match(r"expected `str`, got `(int|float|bool)`", what):
        return "Write it in quotes. "
    return ""


def without_unit(what: str, at: str) -> str:
    """A sentence on a number that was written as text, followed by a space. Sizes and shares may be: plan_file."""
    if not re.match(r"expected `(int|float)", what) or not what.endswith("got `str`"):
        return ""
    key = at.rpartition(".")[2]
    unit = next((each for each in ("minutes", "seconds") if key.endswith(each)), "")
    return f"Give a number{f' of {unit}' if unit else ''}, without quotes or a unit. "
