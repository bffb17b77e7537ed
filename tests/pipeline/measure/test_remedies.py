"""What to do about a failed launch follows from what was said of it."""

import pytest

from device_agent import wire
from pipeline.measure.remedies import evidence, remedy


@pytest.mark.parametrize(
    ("phase", "error", "message", "says"),
    [
        ("started", "damaged", "the site abc was damaged on the board's disk and has been removed: send it again", "sent to the board once more"),
        ("started", "not_found", "the model abc is not on the board", "sent to the board once more"),
        ("load", "SIGILL", "the runner was killed by SIGILL", "instructions that this processor does not have"),
        ("load", "SIGSEGV", "the runner was killed by SIGSEGV", "crashed on this file"),
        ("timed", "SIGKILL", "the runner was killed by SIGKILL; the kernel has killed a process for lack of memory since it started", "ran out of memory"),
        ("timed", "SIGKILL", "the runner was killed by SIGKILL", "Something there killed it"),
        ("load", "ImportError", "libgomp.so.1: cannot open shared object file: No such file or directory", "has no libgomp.so.1"),
        ("load", "ImportError", "/x.so: failed to map segment from shared object", "mounted noexec"),
        ("load", "ImportError", "/lib/libc.so.6: version `GLIBC_2.38' not found (required by x.so)", "has no GLIBC_2.38"),
        ("load", "ModuleNotFoundError", "No module named 'numpy.core'", "do not fit each other"),
        ("load", "RuntimeError", "Encountered unresolved custom op: FlexErf.", "an operation that this version of the runtime does not know"),
        ("load", "Fail", "Unsupported model IR version: 12, max supported IR version: 10", "newer form"),
        ("load", "ValueError", "Model provided has model identifier 'xxxx'", "does not open this file"),
        ("golden", "OSError", "[Errno 28] No space left on device", "Free space there"),
        ("timed", "timeout", "it hangs: no message and no CPU time for 20 s, in phase timed", "hangs"),
        ("timed", "timeout", "no end after 60 s, in phase timed", "too slow"),
        ("timed", "KeyError", "'x'", "report it"),
    ],
)  # fmt: skip
def test_the_remedy_of_what_was_said(phase, error, message, says):
    failed = wire.LaunchFailed(0, 0, phase, error, message)
    assert says in remedy(failed)
    assert message in evidence(failed)


def test_the_cause_at_the_end_of_a_long_message_is_shown():
    failed = wire.LaunchFailed(
        0, 0, "load", "RuntimeError", "x" * 10**6 + "\nlibfoo.so.3: cannot open shared object file"
    )
    assert "libfoo.so.3" in evidence(failed)
    assert len(evidence(failed)) < 1000
    assert "libfoo.so.3" in remedy(failed)
