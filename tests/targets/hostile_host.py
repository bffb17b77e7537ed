"""The host that meets a hostile board: links to one, boards.toml of many, and the command with short deadlines.

`python -m tests.targets.hostile_host SECONDS ARGUMENT...` is the edgepress command, with so many seconds for each request.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from targets import following, waiting
from targets.local import LocalLink

PROGRAM = Path(__file__).with_name("hostile_board.py")
ROOT = PROGRAM.parents[2]


class HostileLink(LocalLink):
    def __init__(self, scenario):
        self.scenario = scenario

    def start(self, argv):
        return super().start([sys.executable, str(PROGRAM), self.scenario, *argv])


def hostile_python(folder, scenario):
    """A program to be named as `python` of a board."""
    path = Path(folder) / f"python-{scenario.replace(':', '-')}"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROGRAM}" {scenario} "{sys.executable}" "$@"\n')
    path.chmod(0o755)
    return str(path)


def inventory(folder, target, pythons):
    """boards.toml: name -> the `python` of a board on the server of `target`."""
    text = ""
    for name, python in pythons.items():
        text += (
            f'["{name}"]\nhost = "127.0.0.1"\nport = {target.port}\nuser = "{target.user}"\nkey = "{target.key}"\n'
            f'known_hosts = "{target.known_hosts}"\nroot = "{folder}/root"\npython = "{python}"\n'
        )
    (Path(folder) / "boards.toml").write_text(text)


def shorten(set_value, seconds):
    """`set_value(module, name, value)` for each deadline."""
    for name in ("START_S", "INSTALL_S", "ANSWER_S", "UNPACK_S"):
        set_value(waiting, name, seconds)
    for name in ("QUIET_S", "SLACK_S"):
        set_value(following, name, seconds)
    set_value(waiting, "FINISH_S", 0.2)


def run(command, limit_s):
    """(exit code, stdout, stderr, most memory of the process in MB)."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors, cwd=ROOT, start_new_session=True)
        watch = subprocess.Popen(["sh", "-c", f"sleep {limit_s}; kill -9 {process.pid}"], start_new_session=True)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        os.killpg(watch.pid, 9)
        watch.wait()
        out.seek(0)
        errors.seek(0)
        return process.returncode, out.read(), errors.read(), usage.ru_maxrss / 1024


def short_command(seconds, *arguments):
    return [sys.executable, "-m", "tests.targets.hostile_host", str(seconds), *map(str, arguments)]


if __name__ == "__main__":
    shorten(setattr, float(sys.argv.pop(1)))
    from pipeline.commands import main

    main()
