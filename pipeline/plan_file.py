"""A plan's file -> the tables that are written in it: TOML, with sizes and shares that may have units."""

import math
import re
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pipeline import spelling, units
from pipeline.errors import PlanError
from pipeline.safe_text import shortened

MOST_BYTES = 2**20  # of a plan; the longest of the examples has some 3 KB
MOST_DOTS = 64  # in a key: tomllib needs 31 s for one of 16,000, and its time grows with the square


def read(path: Path, shares: Collection[str]) -> tuple[bytes, dict[str, Any]]:
    """Return the file's content, and its tables. `shares`: the keys whose values are shares. PlanError says what is wrong with it."""
    text = _text_of(path)
    try:
        if any(part.count(b".") > MOST_DOTS for part in re.split(b"[=,\n]", text)):
            raise RecursionError
        raw = tomllib.loads(text.decode("utf-8-sig"))
        _check_values(raw, path, "")
    except RecursionError:
        raise PlanError(
            f"{path} is not a plan: its tables or lists are nested too deeply",
            hint="A plan has tables of keys, no deeper than [[compress]] recover = { .. }; docs/plan.md has them all.",
        ) from None
    except UnicodeDecodeError as error:
        raise PlanError(
            f"{path} is not valid TOML: its bytes are not UTF-8, from byte {error.start + 1} on",
            hint="Save it as UTF-8.",
        ) from error
    except ValueError as error:  # no TOML, or an integer of thousands of digits
        raise PlanError(
            f"{path} is not valid TOML: {shortened(str(error))}", hint="Correct the line that the message names."
        ) from error
    return text, _written_out(raw, path, shares)


def check_name(path: Path) -> Path:
    """Raise PlanError for a path with bytes that are not text: no record of a run could hold it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise PlanError(
            f"{path}: a name in this path has bytes that are not UTF-8",
            hint="Rename that file or folder, or work in another: what is kept of a run is JSON, which cannot hold such a name.",
        ) from error
    return path


def _text_of(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait, and /dev/zero has no end
            raise OSError(0, "it is a folder" if path.is_dir() else "it is not a regular file")
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise PlanError(
            f"the plan {path} cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="Give the path of an edge.toml; examples/fashion_mnist/edge.toml is one to start from.",
        ) from error
    if len(text) > MOST_BYTES:
        raise PlanError(
            f"{path} is not a plan: it is larger than {units.size(MOST_BYTES)}",
            hint="Give the path of an edge.toml; rows and models are files of their own.",
        )
    return text


def _check_values(value: object, path: Path, at: str) -> None:
    """TOML's integers have 64 bits; what is larger could be kept in no record."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise PlanError(f"{path}: {at}: an integer beyond 64 bits", hint="Give a smaller number.")
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            _check_values(each, path, f"{at}[{key}]" if isinstance(value, list) else f"{at}.{key}".lstrip("."))


def _written_out(raw: dict[str, Any], path: Path, shares: Collection[str]) -> dict[str, Any]:
    """Sizes and shares may be written with their units, and the commonest slips are told apart from the others."""
    if isinstance(raw.get("compress"), dict):
        raise PlanError(
            f"{path}: [compress] is one table, where a list of passes is expected",
            hint="Write [[compress]], with two brackets: one such table for each pass.",
        )
    written = dict(raw)
    for name in ("limits", "host", "state"):
        table = raw.get(name)
        if isinstance(table, dict):
            written[name] = {key: _number(value, key, f"{path}: {name}.{key}", shares) for key, value in table.items()}
    return written


def _number(value: object, key: str, where: str, shares: Collection[str]) -> object:
    if isinstance(value, float) and key.endswith("_bytes") and value.is_integer():
        return int(value)  # 2e5
    if isinstance(value, str) and key.endswith("_bytes"):
        found = spelling.bytes_of(value)
        if found is None:
            raise PlanError(
                f"{where}: '{shortened(value, 40)}' is not a size",
                hint='Give a number of bytes, or "200 kB" or "1.5 MiB".',
            )
        return found
    if isinstance(value, str) and key == "accuracy_drop_points":
        raise PlanError(
            f"{where}: '{shortened(value, 40)}' is not a number",
            hint="Give points of accuracy: 1.0 is from 92 % to 91 %.",
        )
    if key not in shares:
        return value
    if isinstance(value, str):
        share = spelling.share_of(value)
        if share is None:
            raise PlanError(f"{where}: '{shortened(value, 40)}' is not a share", hint='Give it as 0.03, or as "3 %".')
        return share
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 1:
        raise PlanError(
            f"{where} = {value:g} would be {value * 100:g} %",
            hint=f'Did you mean {value:g} %? Write {value / 100:g}, or "{value:g} %". '
            f'If {value * 100:g} % is meant, write "{value * 100:g} %".',
        )
    return value
