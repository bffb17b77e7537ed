"""The host that meets a hostile board: links to one, boards.toml of many, and the command with short deadlines.

python -m tests.support.hostile_host command SECONDS ARGUMENT...   the edgepress command, with so many seconds for each request
python -m tests.support.hostile_host job SCENARIO ROOT             a long job on such a board, which obeys signals as the command does
python -m tests.support.hostile_host get SCENARIO ROOT             a file that was put there is fetched
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline.commands.stopping import Stopped, Stopping, left_running
from targets import deadlines, job_records, session
from targets.errors import TargetError
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
        set_value(deadlines, name, seconds)
    for name in ("QUIET_S", "SLACK_S"):
        set_value(job_records, name, seconds)
    set_value(deadlines, "FINISH_S", 0.2)


def run(command, limit_s):
    """(exit code, stdout, stderr, most memory of the process in MB)."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors, cwd=ROOT, start_new_session=True)
        watch = subprocess.Popen(["sh", "-c", f"sleep {limit_s}; kill -9 {process.pid}"], start_new_session=True)
        most_kb = 0
        while process.poll() is None:  # not wait4: its ru_maxrss begins with the memory of the process that forked
            most_kb = max(most_kb, _most_kb(process.pid))
            time.sleep(0.02)
        os.killpg(watch.pid, 9)
        watch.wait()
        out.seek(0)
        errors.seek(0)
        return process.returncode, out.read(), errors.read(), most_kb / 1024


def _most_kb(pid):
    """The most that a process has had in memory since its program was started; 0: it has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def short_command(seconds, *arguments):
    return [sys.executable, "-m", "tests.support.hostile_host", "command", str(seconds), *map(str, arguments)]


def command(seconds, *arguments):
    from pipeline.commands import main

    shorten(setattr, float(seconds))
    sys.argv[1:] = arguments
    main()


def job(scenario, root):
    from tests.support.sessions import MODEL, SHA, launch

    session.GOODBYE_S = 1.0
    with session.Session(lambda _: HostileLink(scenario), sys.executable, root) as board:
        board.put(MODEL, SHA)
        job_id = board.submit((launch(timed_min_ns=10**9, timed_max_runs=10**6),) * 60, "hostile")
        for _ in board.follow(job_id):
            print("it runs", flush=True)


def get(scenario, root):
    from tests.support.sessions import MODEL, SHA

    with session.Session(lambda _: HostileLink(scenario), sys.executable, root) as board:
        board.put(MODEL, SHA)
        board.get(SHA, 1 << 40)


def main(what, *arguments):
    if what == "command":
        command(*arguments)
    Stopping()
    try:
        {"job": job, "get": get}[what](*arguments)
    except TargetError as error:
        print(f"{type(error).__name__}: {error}")
        sys.exit(error.exit_code)
    except Stopped as stopped:
        print(*left_running(), sep="\n", flush=True)
        sys.exit(128 + stopped.number)


if __name__ == "__main__":
    main(*sys.argv[1:])
