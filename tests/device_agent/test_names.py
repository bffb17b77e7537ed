"""What becomes a file's name or a process's number is taken for nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from device_agent.board.processes import boot_id, start_ticks
from device_agent.channel import Refused
from device_agent.files.layout import Layout
from device_agent.jobs.job import Process, this_process

HASH, JOB = "a" * 64, "b" * 32


@pytest.mark.parametrize("folder", ["blob", "partial", "site", "job"])
@pytest.mark.parametrize("spoil", [lambda name: name + "\n", lambda name: name + "0", lambda name: name[1:], str.upper, lambda name: name + "/../x", lambda _: ""])  # fmt: skip
def test_only_a_whole_number_becomes_a_path(tmp_path, folder, spoil):
    path, name = getattr(Layout(str(tmp_path)), folder), JOB if folder == "job" else HASH
    assert Path(path(name)).name == name
    with pytest.raises(Refused, match="not "):
        path(spoil(name))


def test_a_process_number_that_is_used_again_is_another_process():
    own = this_process(10**9)
    assert own.is_alive()
    assert not own._replace(start_ticks=own.start_ticks - 1).is_alive()
    assert not own._replace(start_ticks=own.start_ticks + 1).is_alive()
    assert not own._replace(boot_id="another").is_alive()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        other = Process(child.pid, start_ticks(child.pid), boot_id(), 0, 0, None)
        assert other.is_alive()
        child.communicate(b"\n")
    assert not other.is_alive()
