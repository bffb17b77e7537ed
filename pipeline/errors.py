"""Errors that a user sees: what was wrong, with which input, and what to do next.

    EdgepressError
      PlanError             2  wrong usage, a wrong plan, a missing extra
      DataError             2  data that does not fit the model
      StageError            5  a stage failed
        ModelError          5  a file that is not a usable model
          CannotRunError    5  a runtime opened it, and cannot run it on what it was given
        PromiseError        5  a pass did not do what it promised
        ChildError          5  a child process died or was killed
      TargetError           4  trouble with a board: targets/errors.py has its kinds

Exit code 1 (regressed), 3 (inconclusive) and 6 (invalid measurement) are results, not errors: see `records.Outcome`.
"""

import errno

from device_agent.wire import EdgepressError as EdgepressError  # noqa: PLC0414 - all of pipeline finds it here

# For an OSError without a message of our own: what to do, by the kernel's error number.
OS_HINTS = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "You may not do that there: give yourself the right, or work in a folder of your own."),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Free space on that disk (`df -h`, `df -i`), or have your quota raised; then run again."),
    errno.EROFS: "That disk is mounted read-only: work in another folder.",
    errno.ENOENT: "Is that file, or the folder that it should be in, still there?",
    errno.ENAMETOOLONG: "No file name can be that long: give a shorter one.",
    errno.EMFILE: "Too many files are open at once: raise the limit (ulimit -n), then run again.",
    errno.ENOMEM: "This machine is out of memory: end other programs, then run again.",
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.ELOOP), "There is something of another kind under that name: move it away."),
    errno.EFBIG: "That file may grow no further: raise the limit (ulimit -f), or use a disk that holds larger files.",
    errno.EIO: "That disk has errors (see `dmesg`).",
}  # fmt: skip


class PlanError(EdgepressError):
    exit_code = 2


class DataError(EdgepressError):
    exit_code = 2


class StageError(EdgepressError):
    exit_code = 5


class ModelError(StageError):
    pass


class CannotRunError(ModelError):
    pass


class PromiseError(StageError):
    pass


class ChildError(StageError):
    pass


KINDS: dict[str, type[EdgepressError]] = {
    kind.__name__: kind
    for kind in (PlanError, DataError, StageError, ModelError, CannotRunError, PromiseError, ChildError)
}
"""By name, so that an error raised in a child process arrives as itself."""
