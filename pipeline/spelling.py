"""What people write: sizes with a unit, shares in percent, and names that are nearly right."""

import re
from collections.abc import Iterable

UNITS = {
    "": 1,
    **{f"{sign}{i}": (1024 if i else 1000) ** power for power, sign in enumerate("kmgt", 1) for i in ("", "i")},
}
SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*([kmgt]i?)?(?:b|bytes?)?", re.IGNORECASE | re.ASCII)
LARGEST_BYTES = 10**15  # of what anybody means
PERCENT = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*%", re.ASCII)


def bytes_of(text: str) -> int | None:
    """'200kB' -> 200000, '1.5 MiB' -> 1572864; None: it is not a size."""
    found = SIZE.fullmatch(text.strip())
    return round(float(found[1]) * UNITS[(found[2] or "").lower()]) if found else None


def share_of(text: str) -> float | None:
    """'3 %' -> 0.03; None: it is not a percentage."""
    found = PERCENT.fullmatch(text.strip())
    return float(found[1]) / 100 if found else None


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return a sentence with the nearest of the known names, followed by a space; nothing where none is near."""
    import difflib

    by_lower = {each.lower(): each for each in known}
    asked = name.lower()[:100]
    near = [each for each in by_lower if asked in each and len(asked) > 3]  # a part of one alone, such as litert
    if len(near) != 1:
        near = difflib.get_close_matches(asked, by_lower, n=1, cutoff=cutoff)
    return f"Did you mean {by_lower[near[0]]}? " if near else ""
