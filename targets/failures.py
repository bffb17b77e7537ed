"""What went wrong on a board, as an error: by the kind that the agent names, or by what was said in place of an agent."""

import json

from device_agent import wire
from targets import said
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
CLEAN = "`edgepress boards clean NAME` removes there what edgepress needs no more"

# wire.Failure.error, or that of the bootstrap -> the error, its sentence, what to do. None: by what else was said.
KINDS: dict[str, tuple[type[TargetError], str, str | None]] = {
    "no_space": (DiskFull, "the disk of {} is full", f"Free space there ({CLEAN}): `df -h` tells which filesystem is full."),
    "no_inodes": (DiskFull, "the disk of {} is out of inodes: bytes are free, but not as many more files can be made there",
                  f"Remove files there, however small ({CLEAN}); `df -i` shows where. Then run again."),
    "quota": (DiskFull, "this user's quota on the disk of {} is used up", f"Free space there ({CLEAN}), or have the quota raised."),
    "read_only": (RootUnusable, "{}: root is on a filesystem that is read-only",
                  "Name another `root` in boards.toml, or mount it writable. A disk that fails turns read-only by itself: `dmesg` tells."),
    "noexec": (RootUnusable, "{}: root is on a filesystem mounted noexec, so no runtime can be loaded from there",
               "Name another `root` in boards.toml, on a filesystem without noexec (`findmnt -T FOLDER` shows it)."),
    "unsafe": (RootUnusable, "the folder of edgepress on {} is not safe from other users there",
               "Name a `root` below a folder that only this user or root may write to, or take that right away there (chmod go-w)."),
    "foreign": (RootUnusable, "`root` on {} is a folder of somebody's own, in which edgepress would take this for its own and remove it",
                "Name a folder as `root` in boards.toml that only edgepress uses, such as ~/.edgepress."),
    "no_home": (RootUnusable, "`root` can not be found on {}", "Name a `root` in boards.toml below a folder that is there."),
    "not_writable": (AgentFailed, "the folder of edgepress on {} can not be written", None),
    "old_python": (NoPython, "the Python on {} is too old", "Name a newer one as `python` in boards.toml."),
    "other_version": (AgentFailed, "{} can not say", f"{CLEAN}; or run that version of edgepress."),
    "busy": (Busy, "{} is busy", "Wait for it to end (`--wait SECONDS` does), or see `edgepress jobs` for this board, then run again."),
    "bad_request": (AgentFailed, "{} can not do what was asked", "Correct that setting of the plan; report it if no setting of yours says so."),
    "bad_upload": (UploadDamaged, "what was sent has come to {} damaged", AGAIN),
    "bad_wheel": (AgentFailed, "a runtime's files on {} are not in order", "Run again: they are sent once more."),
    "not_found": (AgentFailed, "something that was asked for is not on {}", AGAIN),
}  # fmt: skip


def failure(address: str, kind: str, message: str, errno: str = "") -> TargetError:
    """Of a wire.Failure, or what the bootstrap says in place of it."""
    words = said.gist(message)
    error, sentence, known = KINDS.get(kind, (AgentFailed, "the agent on {} failed", None))
    code = (
        f" ({', '.join(filter(None, (kind if kind not in KINDS else '', errno)))})"
        if errno or kind not in KINDS
        else ""
    )
    return error(
        f"{sentence.format(address)}{code}: {words}", hint=known or said.hint(f"{errno} {words}", said.FILES) or AGAIN
    )


def of_boot(address: str, text: bytes) -> TargetError:
    """Of the JSON behind the bootstrap's FAIL."""
    try:
        told = json.loads(text)
        return failure(address, str(told["error"])[:40], str(told["message"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return failure(address, "internal", text[:4000].decode(errors="replace"))


def of_record(address: str, record: object) -> TargetError:
    """The error that a record means which was not asked for."""
    if not isinstance(record, wire.Failure):
        return NotTheAgent(f"{address} answered out of turn: {type(record).__name__}", hint="Run again.")
    return failure(address, record.error, record.message, record.errno)


def no_agent(
    address: str, python: str, code: int | None, printed: bytes, errors: str, lost: ConnectionLost | NoAnswer
) -> TargetError:
    """No agent has answered: what the board said instead on stdout and stderr, and what follows from it. `code`: how what was
    started there has ended; None: it runs still, or the link is gone, as `lost` says.
    """
    words = said.last_words(printed, errors)
    if code is None:
        return type(lost)(f"{lost.message}{said.told(words) if words else ''}", hint=lost.hint)
    if said.is_missing(python, words):
        return NoPython(
            f"there is no {python} on {address}{said.told(words)}",
            hint="Install Python 3.8 or newer there, or name its path as `python` in boards.toml.",
        )
    ended = said.ending(code)
    known = said.hint(said.about(python, words), said.PROGRAM) or said.hint(f"{ended} {words}", said.START)
    if known is None and code == 0:  # a Python that was given the agent's text does not
        known = (
            f"Something else than {python} ran there: is a command forced upon this user (ForceCommand in sshd_config, "
            "command= in authorized_keys)?"
        )
    return AgentFailed(
        f"no agent answered on {address}: what was started there {ended}{said.told(words)}",
        hint=known or f"Log in there by hand and try `{python} -V`; its path is `python` in boards.toml.",
    )


def of_job(address: str, end: wire.Ended) -> JobEnded:
    """Of a job that has ended without results. Its state is known of by the board itself; of the rest it has said something."""
    known = said.hint(end.evidence, said.FILES)
    hints = {
        wire.LOST: "Did the board lose power, or did its watchdog reset it? Run again.",
        wire.KILLED: known or f"Something on the board killed it: dmesg tells whether memory was short. {AGAIN}",
        wire.TIMEOUT: "A model or runtime hangs on this board: try another runtime, or measure fewer files at once.",
        wire.CANCELLED: "Somebody has cancelled it on the board (`edgepress jobs`). Run again.",
    }
    return JobEnded(
        f"the job on {address} ended as {end.state} and has no results: {said.gist(end.evidence)}",
        hint=hints.get(end.state, known or AGAIN),
        state=end.state,
    )


def ended(address: str, code: int | None, errors: str) -> ConnectionLost:
    """The agent's output is at its end. `code`: how it has ended; None: the link is gone, or nothing is known of its end."""
    words = said.last_words(errors)
    if code is None:
        return ConnectionLost(
            f"the connection to {address} ended in the middle" + (said.told(words) if words else ""),
            hint="Is the board still up and on the network? Nothing was left half-written there; run again.",
        )
    how = said.ending(code)
    return ConnectionLost(
        f"the agent on {address} {how} in the middle{said.told(words)}",
        hint=f"{said.hint(f'{how} {words}', said.FILES) or AGAIN} Nothing was left half-written there; run again.",
    )
