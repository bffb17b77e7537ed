"""Virtual boards of a shape, and jobs on them that outlive whoever started them."""

import shlex
import subprocess
import sys
from pathlib import Path

import msgspec

from targets import inventory
from targets.shape import Shape
from tests.support.processes import eventually, ssh_command


def shaped(**shape):
    return msgspec.structs.replace(inventory.find("virtual", Path()), virtual=Shape(**shape))


def on_board(target, code, *, check=True):
    """Run Python code on the board."""
    command = ssh_command(target, f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}")
    return subprocess.run(command, check=check, capture_output=True, text=True, timeout=60)


DETACH = """
import os, sys
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
for f in range(3): os.close(f)
open(sys.argv[1], "w").write(str(os.getpid()))
import time; time.sleep(300)
"""


def detach_job(target, tmp_path):
    """A job as an agent would start it: forked twice, in a session of its own; its process id."""
    pid_file = tmp_path / f"pid-{target.port}"
    on_board(target, DETACH.replace("sys.argv[1]", repr(str(pid_file))))
    assert eventually(lambda: pid_file.exists() and pid_file.read_text())
    return int(pid_file.read_text())
