"""What a board shows of itself, in one file that can be given away: `edgepress boards check NAME --share FILE`.

The board is asked for a written list of files and programs (collect.py); what names it, its network or its people is taken out (redact.py).

Format history, newest first:
1   the fields of Shared
"""

from importlib import metadata
from typing import Any

import msgspec

from device_agent import wire
from targets import fleet, open_session
from targets.errors import TargetError
from targets.inventory import ALWAYS, Target
from targets.sharing.fetch import Collected, collected
from targets.sharing.redact import Redactor, everywhere
from targets.waiting import Say

# Of a moment, or of what else ran there: of no use to anybody else.
NOT_SHARED = frozenset({"t_ns", "wall_offset_ns", "own_us", "busiest", "busiest_us"})


class Shared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: int = 1
    edgepress_version: str
    kind: str | None  # one of targets.boards, by what the board says
    machine: dict[str, Any]  # wire.Machine
    conditions: dict[str, Any]  # wire.Conditions, without NOT_SHARED
    meters: list[dict[str, Any]]  # wire.MeterInfo
    files: dict[str, str]  # path below the board's root -> what is in it
    links: dict[str, str]  # a folder that is a link -> where it leads
    failing: list[str]  # files whose reading fails
    blocking: list[str]  # files whose reading did not end
    root_only: list[str]  # files that this user may not read
    programs: dict[str, str]  # command line -> what it printed
    removed: dict[str, int]  # how much was taken out, by kind
    selftest: dict[str, Any] | None = None


class Leak(TargetError):
    """Something that names the board is left in what was to be written."""

    exit_code = 5


def shared(target: Target, say: Say, selftest: dict[str, Any] | None = None) -> Shared:
    """Ask the board. Leak where a secret would still be in it."""
    with open_session(target, say) as session:
        facts = fleet.checked(session, target)
        found = collected(session, say)
    return without_secrets(found, facts, target, selftest)


def without_secrets(
    found: Collected, facts: fleet.Checked, target: Target, selftest: dict[str, Any] | None = None
) -> Shared:
    """What was collected, cleaned. Nothing of `found.secrets` and nothing of the target's address is left."""
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
        {**cleaned, "edgepress_version": metadata.version("edgepress"), "removed": dict(sorted(redactor.removed.items()))},
        Shared,
    )  # fmt: skip


def _of_target(target: Target) -> list[tuple[str, str]]:
    """What boards.toml says of the way there."""
    if target.kind != "ssh":
        return []
    names = [("address", target.host), ("user name", target.user), ("host name", target.ssh)]
    names += [("board name", target.name)] if target.name not in ALWAYS else []
    return [(kind, text) for kind, text in names if text]


def _fields(record: wire.Record | None) -> dict[str, Any]:
    """Of a record of the wire, as JSON has it."""
    if record is None:
        return {}
    fields: dict[str, Any] = msgspec.json.decode(wire.encode(record))
    return {name: value for name, value in fields.items() if name in vars(record)}


def texts(value: Any) -> list[str]:
    """Every text in what JSON can hold."""
    if isinstance(value, dict):
        return [each for pair in value.items() for part in pair for each in texts(part)]
    if isinstance(value, list | tuple):
        return [each for part in value for each in texts(part)]
    return [value] if isinstance(value, str) else []
