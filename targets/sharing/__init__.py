"""A board's facts in one file that can be shared: `edgepress boards check NAME --share FILE`.

The board returns a fixed list of files and programs (collect.py); what identifies it, its network or its users is removed (redact.py).

Format history, newest first:
1   the fields of Shared
"""

from importlib import metadata
from typing import Any

import msgspec

from device_agent import wire
from targets import fleet, open_session
from targets.deadlines import Say
from targets.errors import TargetError
from targets.inventory import ALWAYS, Target
from targets.sharing.fetch import Collected, collected
from targets.sharing.redact import Redactor, everywhere

# Momentary values, and what else ran there: useless to others.
NOT_SHARED = frozenset({"t_ns", "wall_offset_ns", "own_us", "busiest", "busiest_us"})


class Shared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: int = 1
    edgepress_version: str
    kind: str | None  # one of targets.boards, by what the board reports
    machine: dict[str, Any]  # wire.Machine
    conditions: dict[str, Any]  # wire.Conditions, without NOT_SHARED
    meters: list[dict[str, Any]]  # wire.MeterInfo
    files: dict[str, str]  # path below the board's root -> content
    links: dict[str, str]  # a folder that is a link -> its target
    failing: list[str]  # files whose reading fails
    blocking: list[str]  # files whose reading did not end
    root_only: list[str]  # files that this user may not read
    programs: dict[str, str]  # command line -> output
    removed: dict[str, int]  # number of removals, by kind
    selftest: dict[str, Any] | None = None


class Leak(TargetError):
    """Something that identifies the board is left in the file to be written."""

    exit_code = 5


def shared(target: Target, say: Say, selftest: dict[str, Any] | None = None) -> Shared:
    """Collect the file from the board. Leak if a secret would still be in it."""
    with open_session(target, say) as session:
        facts = fleet.checked(session, target)
        found = collected(session, say)
    return without_secrets(found, facts, target, selftest)


def without_secrets(
    found: Collected, facts: fleet.Checked, target: Target, selftest: dict[str, Any] | None = None
) -> Shared:
    """Return what was collected, without any of `found.secrets` and any part of the target's address."""
    redactor = Redactor([*found.secrets, *_of_target(target)])
    told = {
        "kind": facts.kind,
        "machine": _fields(facts.machine),
        "conditions": {key: value for key, value in _fields(facts.conditions).items() if key not in NOT_SHARED},
        "meters": [_fields(meter) for meter in facts.meters],
        **{name: getattr(found, name) for name in ("files", "links", "failing", "blocking", "root_only", "programs")},
        "selftest": selftest,
    }
    cleaned = everywhere(told, redactor.clean)
    if leaks := redactor.leaks("\n".join(texts(cleaned))):
        raise Leak(
            f"{', '.join(leaks)} would still be in it: nothing was written",
            hint="Please report it, with the kind that is named here.",
        )
    return msgspec.convert(
        {
            **cleaned,
            "edgepress_version": metadata.version("edgepress"),
            "removed": dict(sorted(redactor.removed.items())),
        },
        Shared,
    )


def _of_target(target: Target) -> list[tuple[str, str]]:
    """Return the names in boards.toml's entry."""
    if target.kind != "ssh":
        return []
    names = [("address", target.host), ("user name", target.user), ("host name", target.ssh)]
    names += [("board name", target.name)] if target.name not in ALWAYS else []
    return [(kind, text) for kind, text in names if text]


def _fields(record: wire.Record | None) -> dict[str, Any]:
    """Return the fields of a wire record, as in JSON."""
    if record is None:
        return {}
    fields: dict[str, Any] = msgspec.json.decode(wire.encode(record))
    return {name: value for name, value in fields.items() if name in vars(record)}


def texts(value: Any) -> list[str]:
    """Return every text in a JSON value."""
    if isinstance(value, dict):
        return [each for pair in value.items() for part in pair for each in texts(part)]
    if isinstance(value, list | tuple):
        return [each for part in value for each in texts(part)]
    return [value] if isinstance(value, str) else []
