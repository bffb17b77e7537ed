"""The agent: what it weighs, how long it takes to its first answer, and the Python versions that it runs under.

    .venv/bin/python benchmarks/agent.py

A real sshd on the loopback; "first answer" is the time from the authenticated connection to the agent's hello.
"""

import contextlib
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import msgspec
from machine import describe

from device_agent import wire
from targets import bundle, inventory, open_session
from targets.errors import TargetError

VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
RUNS = 11


def interpreters():
    """(version, path) of every interpreter found on PATH or below ~/.pyenv that starts."""
    for version in VERSIONS:
        below = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python{version}"))
        found = str(below[-1]) if below else shutil.which(f"python{version}")
        yield version, found


def main() -> None:
    print(describe())
    data, sha256 = bundle.bundle()
    package = Path(wire.__file__).parent
    lines = sum(len(path.read_text().splitlines()) for path in package.rglob("*.py"))
    print(
        f"agent {sha256[:12]}: {len(data):,} bytes pushed, {lines:,} lines in {len(list(package.rglob('*.py')))} files"
    )
    for version, python in interpreters():
        if python is None:
            print(f"Python {version}: not on this machine")
            continue
        with tempfile.TemporaryDirectory() as root:
            base = inventory.find("virtual", Path())
            target = msgspec.structs.replace(base, python=python, root=f"{root}/board")
            firsts = []
            with contextlib.suppress(TargetError):
                for _ in range(RUNS + 1):
                    with open_session(target) as session:
                        firsts.append(session.first_answer_s)
                        said = session.machine.python
            if not firsts:
                print(f"Python {version}: does not start")
                sys.exit(1)
            print(
                f"Python {said}: first answer {1000 * firsts[0]:.0f} ms when pushed, "
                f"{1000 * statistics.median(firsts[1:]):.0f} ms when there already (median of {RUNS})"
            )


if __name__ == "__main__":
    main()
