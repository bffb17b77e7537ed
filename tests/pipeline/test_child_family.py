"""What a child has started is counted and ended with it, also in sessions of its own."""

import errno
import os
from pathlib import Path

import pytest

from pipeline import child, child_watch
from pipeline.child_watch import Bounds
from pipeline.errors import OS_HINTS, ChildError, StageError
from pipeline.records import TensorSpec
from tests.pipeline import child_helpers
from tests.support.processes import gone

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def helpers(monkeypatch):
    """The child finds them, too."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def called(name, argument, limits):
    argument = TensorSpec(name=str(argument[0]), shape=(), dtype=argument[1])
    return child.run(getattr(child_helpers, name), argument, TensorSpec, lambda *_: None, doing="trying", limits=limits)


@pytest.mark.parametrize(
    ("how", "limits", "says"),
    [
        ("stays", Bounds(6, "minutes", 2**33), "took longer than 6 s"),
        ("stays", Bounds(60, "minutes", 150 << 20), "more than 150 MiB of memory"),
        ("answers", Bounds(60, "minutes", 2**33), None),
    ],
)
def test_what_is_in_a_session_of_its_own(tmp_path, how, limits, says):
    if says:
        with pytest.raises(ChildError, match=says):
            called("starts", (tmp_path / "pid", how), limits)
    else:
        called("starts", (tmp_path / "pid", how), limits)
    if (tmp_path / "pid").exists():  # it may be ended for its memory before
        assert gone(int((tmp_path / "pid").read_text()))


def test_a_family_is_a_session_and_its_children():
    assert os.getpid() in child_watch.family(os.getpid())
    assert os.getppid() not in child_watch.family(os.getpid())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EROFS])
def test_what_to_do_is_told_by_what_the_kernel_said(number):
    with pytest.raises(StageError, match=os.strerror(number)) as caught:
        called("has_no_room", (number, ""), Bounds(60, "minutes", 2**33))
    assert caught.value.hint == OS_HINTS[number]
