"""What to do about a launch that failed on the board: by what the runtime, the kernel or the agent said of it."""

from device_agent import wire
from targets import diagnosis

OTHER = "Use another runtime or format for this file."
OTHER_ANSWERS = (
    "If the model draws no random numbers (`edgepress load` says it), the runtime computes something else on this board: use another "
    "runtime or version, and report it."
)

# As in targets/diagnosis.py: what to look for, what to do.
LAUNCH: diagnosis.Causes = (
    (r"damaged|is not on the board", "Run again: it is sent to the board once more."),
    (r"[Uu]nresolved custom op|Didn't find op|not find an implementation|NOT_IMPLEMENTED|Select TensorFlow op|is not a registered function",
     f"The file has an operation that this version of the runtime does not know. {OTHER}"),
    (r"IR version|[Oo]pset|[Uu]nsupported model", f"The file is of a newer form than this version of the runtime knows. {OTHER}"),
    (r"[Nn]o module named|cannot import name|undefined symbol|compiled using NumPy",
     "The runtime's files on the board do not fit each other or its Python. Use another runtime."),
    (r"hangs", f"The model or the runtime hangs. {OTHER}"),
    (r"no end after", "The model is too slow for this board, or it hangs: try it alone with a smaller [measure] timed_seconds."),
    *diagnosis.SYSTEM,
    (r"SIG(?:SEGV|BUS|ABRT|FPE|SYS|TRAP)", f"The runtime crashed on this file. {OTHER}"),
)  # fmt: skip


def remedy(failed: wire.LaunchFailed) -> str:
    """Where nothing is known: a runtime that refuses to load a file has been seen to do so, and no more than that."""
    known = diagnosis.hint(f"{failed.error} {failed.message}", LAUNCH)
    if known is None and failed.phase == "load":
        return f"The runtime does not open this file. {OTHER}"
    return known or "Run again; report it with what it said if it happens twice."


def evidence(failed: wire.LaunchFailed) -> str:
    return f"{failed.error} in phase {failed.phase}: {diagnosis.condensed(failed.message)}"
