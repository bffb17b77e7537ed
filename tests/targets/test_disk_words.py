"""What a board says of its disk comes with the advice that fits it."""

import pytest

from device_agent import wire
from targets import errors
from targets.conversation import Conversation
from targets.disk_trouble import TROUBLE

TELLTALE = {
    "no_space": ("is full", "boards clean"),
    "no_inodes": ("no inode left", "df -i"),
    "quota": ("quota", "quota -s"),
    "read_only": ("read-only", "Name another `root`"),
    "unsafe": ("not safe from other users", "chmod go-w"),
    "noexec": ("mounted noexec", "Name another `root`"),
}


def talk():
    made = object.__new__(Conversation)
    made.address = "pi@board:22"
    return made


@pytest.mark.parametrize("kind", TROUBLE)
def test_each_trouble_has_words_and_advice_of_its_own(kind):
    words, advice = TELLTALE[kind]
    for error in (
        talk().unexpected(wire.Failure(kind, "/data/edge", "ENOSPC")),
        talk()._boot_failure(b'{"error": "%s", "message": "/data/edge"}' % kind.encode()),
    ):
        assert isinstance(error, (errors.DiskFull, errors.RootUnusable))
        assert (words in error.message, advice in error.hint, error.exit_code) == (True, True, 4)
        assert "pi@board:22" in error.message
        assert "/data/edge" in error.message


def test_a_job_of_another_version():
    error = talk().unexpected(wire.Failure("other_version", "the job 1 is of another version of edgepress", ""))
    assert (type(error), "boards clean" in error.hint) == (errors.AgentFailed, True)
