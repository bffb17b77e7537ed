"""What went wrong on a board, as an error: by the kind that the agent names, or by the output in place of an agent."""

import json

from device_agent import wire
from targets import diagnosis
from targets.errors import (
    AgentFailed,
    Busy,
    ConnectionLost,
    DiskFull,
    JobEnded,
    NoAnswer,
    NoPython,
    NotTheAgent,
    RootUnusable,
    TargetError,
    UploadDamaged,
)

AGAIN = "Run again; report it if it happens twice."
CLEAN = "`edgepress boards clean NAME` removes what edgepress no longer needs there"

# wire.Failure.error, or that of the bootstrap -> the error, its sentence, what to do. None: it depends on the message.
KINDS: dict[str, tuple[type[TargetError], str, str | None]] = {
    "no_space": (DiskFull, "the disk of {} is full", f"Free space there ({CLEAN}): `df -h` shows which filesystem is full."),
    "no_inodes": (DiskFull, "the disk of {} is out of inodes: space is free, but too few more files can be created",
                  f"Remove files there, however small ({CLEAN}); `df -i` shows where. Then run again."),
    "quota": (DiskFull, "this user's quota on the disk of {} is used up", f"Free space there ({CLEAN}), or have the quota raised."),
    "read_only": (RootUnusable, "{}: root is on a read-only filesystem",
                  "Name another `root` in boards.toml, or mount it writable. A failing disk turns read-only by itself: `dmesg` shows it."),
    "noexec": (RootUnusable, "{}: root is on a filesystem mounted noexec, so no runtime can be loaded from there",
               "Name another `root` in boards.toml, on a filesystem without noexec (`findmnt -T FOLDER` shows it)."),
    "unsafe": (RootUnusable, "the folder of edgepress on {} is not safe from other users there",
               "Name a `root` below a folder that only this user or root can write to, or take it from the others (chmod go-w)."),
    "foreign": (RootUnusable, "`root` on {} is not a folder of edgepress's own: it would take this for its own and remove it",
                "Name a folder as `root` in boards.toml that only edgepress uses, such as ~/.edgepress."),
    "no_home": (RootUnusable, "`root` cannot be found on {}", "Name a `root` in boards.toml below an existing folder."),
    "not_writable": (AgentFailed, "the folder of edgepress on {} cannot be written", None),
    "old_python": (NoPython, "the Python on {} is too old", "Name a newer one as `python` in boards.toml."),
    "other_version": (AgentFailed, "{} cannot read the job", f"{CLEAN}; or run that version of edgepress."),
    "busy": (Busy, "{} is busy", "Wait for it to end (`--wait SECONDS` does), or see `edgepress jobs` for this board, then run again."),
    "bad_request": (AgentFailed, "{} cannot serve the request", "Correct that setting of the plan; report it if no setting of yours asks for this."),
    "bad_upload": (UploadDamaged, "the upload to {} arrived damaged", AGAIN),
    "bad_wheel": (AgentFailed, "a runtime's files on {} are damaged or unusable", "Run again: they are sent again."),
    "not_found": (AgentFailed, "something that was requested is not on {}", AGAIN),
}  # fmt: skip


def failure(address: str, kind: str, message: str, errno: str = "") -> TargetError:
    """Return the error for a wire.Failure, or for the bootstrap's FAIL."""
    words = diagnosis.condensed(message)
    error, sentence, known = KINDS.get(kind, (AgentFailed, "the agent on {} failed", None))
    code = (
        f" ({', '.join(filter(None, (kind if kind not in KINDS else '', errno)))})"
        if errno or kind not in KINDS
        else ""
    )
    return error(
        f"{sentence.format(address)}{code}: {words}",
        hint=known or diagnosis.hint(f"{errno} {words}", diagnosis.FILES) or AGAIN,
    )


def of_boot(address: str, text: bytes) -> TargetError:
    """Return the error for the JSON that follows the bootstrap's FAIL."""
    try:
        told = json.loads(text)
        return failure(address, str(told["error"])[:40], str(told["message"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return failure(address, "internal", text[:4000].decode(errors="replace"))


def of_record(address: str, record: object) -> TargetError:
    """Return the error for an unexpected record."""
    if not isinstance(record, wire.Failure):
        return NotTheAgent(f"{address} answered out of turn: {type(record).__name__}", hint="Run again.")
    return failure(address, record.error, record.message, record.errno)


def no_agent(
    address: str, python: str, code: int | None, printed: bytes, errors: str, lost: ConnectionLost | NoAnswer
) -> TargetError:
    """Return the error if no agent answered, from what the board printed instead on stdout and stderr. `code`: the exit code of the
    program; None: it still runs, or the link is lost, as `lost` says.
    """
    words = diagnosis.last_words(printed, errors)
    if code is None:
        return type(lost)(f"{lost.message}{diagnosis.quoted(words) if words else ''}", hint=lost.hint)
    if diagnosis.is_missing(python, words):
        return NoPython(
            f"there is no {python} on {address}{diagnosis.quoted(words)}",
            hint="Install Python 3.8 or newer there, or name its path as `python` in boards.toml.",
        )
    ended = diagnosis.how_it_ended(code)
    known = diagnosis.hint(diagnosis.lines_about(python, words), diagnosis.PROGRAM) or diagnosis.hint(
        f"{ended} {words}", diagnosis.START
    )
    if known is None and code == 0:  # a Python with the agent's text would not
        known = (
            f"Something other than {python} ran there: does sshd force a command on this user (ForceCommand in sshd_config, "
            "command= in authorized_keys)?"
        )
    return AgentFailed(
        f"no agent answered on {address}: the program started there {ended}{diagnosis.quoted(words)}",
        hint=known or f"Log in there and try `{python} -V`; its path is `python` in boards.toml.",
    )


def of_job(address: str, end: wire.Ended) -> JobEnded:
    """Return the error for a job that ended without results, with a hint by its state or its evidence."""
    known = diagnosis.hint(end.evidence, diagnosis.FILES)
    hints = {
        wire.LOST: "Did the board lose power, or did its watchdog reset it? Run again.",
        wire.KILLED: known or f"Something on the board killed it: dmesg shows whether memory ran out. {AGAIN}",
        wire.TIMEOUT: "A model or runtime hangs on this board: try another runtime, or measure fewer files at once.",
        wire.CANCELLED: "Someone cancelled it on the board (`edgepress jobs`). Run again.",
    }
    return JobEnded(
        f"the job on {address} ended as {end.state} and has no results: {diagnosis.condensed(end.evidence)}",
        hint=hints.get(end.state, known or AGAIN),
        state=end.state,
    )


def ended(address: str, code: int | None, errors: str) -> ConnectionLost:
    """Return the error for the end of the agent's output. `code`: its exit code; None: the link is lost, or it is unknown."""
    words = diagnosis.last_words(errors)
    if code is None:
        return ConnectionLost(
            f"the connection to {address} ended unexpectedly" + (diagnosis.quoted(words) if words else ""),
            hint="Is the board still up and on the network? Nothing was left half-written there; run again.",
        )
    how = diagnosis.how_it_ended(code)
    return ConnectionLost(
        f"the agent on {address} {how} unexpectedly{diagnosis.quoted(words)}",
        hint=f"{diagnosis.hint(f'{how} {words}', diagnosis.FILES) or AGAIN} Nothing was left half-written there; run again.",
    )
