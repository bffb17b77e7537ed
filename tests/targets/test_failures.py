"""What a board says of its disk comes with the advice that fits it."""

import pytest

from device_agent import wire
from targets import errors, failures

TELLTALE = {
    "no_space": ("is full", "boards clean"),
    "no_inodes": ("out of inodes", "df -i"),
    "quota": ("quota", "boards clean"),
    "read_only": ("read-only", "Name another `root`"),
    "unsafe": ("not safe from other users", "chmod go-w"),
    "noexec": ("mounted noexec", "Name another `root`"),
}


@pytest.mark.parametrize("kind", TELLTALE)
def test_each_trouble_has_words_and_advice_of_its_own(kind):
    words, advice = TELLTALE[kind]
    for error in (
        failures.of_record("pi@board:22", wire.Failure(kind, "/data/edge", "ENOSPC")),
        failures.of_boot("pi@board:22", b'{"error": "%s", "message": "/data/edge"}' % kind.encode()),
    ):
        assert isinstance(error, (errors.DiskFull, errors.RootUnusable))
        assert (words in error.message, advice in error.hint, error.exit_code) == (True, True, 4)
        assert "pi@board:22" in error.message
        assert "/data/edge" in error.message


def test_a_job_of_another_version():
    said = "the job 1 belongs to another version of edgepress, and only that can read it"
    error = failures.of_record("pi@board:22", wire.Failure("other_version", said, ""))
    assert error.message == f"pi@board:22 cannot read the job: {said}"
    assert (type(error), "boards clean" in error.hint) == (errors.AgentFailed, True)


@pytest.mark.parametrize(
    ("evidence", "memory"),
    [
        ("the job's process 7 has ended: the kernel has killed a process for lack of memory since it started", True),
        ("the job's process 7 has ended: it left no record, and the kernel counted no OOM kill", False),
        ("the job's process 7 has ended: it left no record", False),
    ],
)
def test_a_job_that_was_killed_is_short_of_memory_only_by_evidence(evidence, memory):
    """The second once read "has not killed for lack of memory", and was taken for a lack of memory."""
    error = failures.of_job("pi", wire.Ended(1, "0" * 32, wire.KILLED, evidence))
    assert ("ran out of memory" in error.hint) is memory
