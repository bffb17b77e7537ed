"""Get the output of collect.py from a board: one program over the open link, bounded in bytes and in time."""

from pathlib import Path
from typing import Literal

import msgspec

from targets import diagnosis
from targets.deadlines import Say, Wait
from targets.errors import NotTheAgent
from targets.link import Channel
from targets.session import Session

MOST_BYTES = 4_000_000
LIMIT_S = 90.0  # six sensors that block for two seconds, four programs, a thousand files on the slowest card
MOST_SECRETS, LONGEST_SECRET = 2000, 256  # as limited by collect.py
PART_BYTES, PART_S = 65536, 2.0


Kind = Literal["host name", "user name", "address", "MAC address", "serial number"]


class Collected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The output of collect.py. Paths are relative to the root of the board."""

    files: dict[str, str]
    links: dict[str, str]
    failing: list[str]
    blocking: list[str]
    root_only: list[str]
    programs: dict[str, str]
    secrets: list[tuple[Kind, str]]


def collected(session: Session, say: Say) -> Collected:
    """Run collect.py on the board. NotTheAgent if the output is invalid, too long, or does not end in time."""
    source = Path(__file__).with_name("collect.py").read_text()
    channel = session.start_python(source)
    try:
        with Wait(session.address, "report what it shows of itself", LIMIT_S, say) as wait:
            line = _line(channel, session.address, wait)
    finally:
        channel.close()
    try:
        found = msgspec.json.decode(line, type=Collected)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise _refused(session.address, f"what it collected cannot be read: {error}") from error
    if len(found.secrets) > MOST_SECRETS or any(len(secret) > LONGEST_SECRET for _, secret in found.secrets):
        raise _refused(session.address, "it reports more names than a board can have")
    return found


def _line(channel: Channel, address: str, wait: Wait) -> bytes:
    """Return the line after the mark."""
    mark, data = b"EDGEPRESS-SHARE-1\n", b""
    while True:
        left_s = wait.left_s()
        try:
            part = channel.receive(PART_BYTES, min(PART_S, left_s))
        except TimeoutError:
            continue
        data += part
        _, found, rest = data.partition(mark)
        if found and b"\n" in rest:
            return rest.partition(b"\n")[0]
        if not part:
            words = diagnosis.last_words(channel.errors()) or "its Python ended without output"
            raise _refused(address, f"nothing was collected: {words}")
        if len(data) > MOST_BYTES:
            raise _refused(address, f"it sent more than {MOST_BYTES // 1_000_000} MB")


def _refused(address: str, why: str) -> NotTheAgent:
    return NotTheAgent(f"{address}: {why}", hint="Run again; report it if it happens twice. Nothing was written.")
