"""Make a recorded board from a file that somebody has shared: a new tree of tests/boards, which the tests of boards then read.

    .venv/bin/python scripts/adopt_board.py board.json [--name pi5_bookworm]

docs/adopt-a-board.md says how such a file is made. It comes from a stranger, so each path is checked before anything is written.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from targets.sharing import Shared  # noqa: E402
from tests.support.board_trees import BOARDS, environment, tree_of  # noqa: E402

PATH = re.compile(r"(?:proc|sys|etc|usr|var)(?:/[A-Za-z0-9@:._,+-]+)+")
PROGRAM = re.compile(r"[a-z][a-z_0-9]*(?: [A-Za-z0-9_-]+)*")
NAME = re.compile("[a-z][a-z0-9_]{1,40}")
MOST_BYTES = 8_000_000
STAND_IN = """#!/bin/sh
# Prints what this program printed on such a board: ../said, see ../../README.md.
exec /bin/cat "${0%/*}/../said/${0##*/} $*"
"""
EXPECTED = """
import json
from device_agent.board import conditions, machine
known, now = machine.describe(), conditions.observe()
print(json.dumps({
    "machine": [known.model, known.cpu, known.os, known.memory_bytes // 1024, known.cpu_max_khz, known.governor, known.release, known.power_mode],
    "conditions": [now.temperature_mc, now.cpu_khz, now.governor, now.load_average_milli, now.cpu_pressure_centi,
                   (now.available_bytes or 0) // 1024, now.throttle_flags],
}))
"""
SAME = (
    "model",
    "cpu",
    "os",
    "cpu_max_khz",
    "governor",
    "release",
    "power_mode",
)  # the tree must give the board's own answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--name", help="of the tree; the kind of board by default")
    given = parser.parse_args()
    if given.file.stat().st_size > MOST_BYTES:
        sys.exit(f"{given.file} has more than {MOST_BYTES:,} bytes")
    try:
        shared = msgspec.json.decode(given.file.read_bytes(), type=Shared)
        folder = adopted(shared, given.name or shared.kind or "", BOARDS)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        sys.exit(f"{given.file}: {error}")
    print(f"adopted: {folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder}, {len(shared.files)} files")
    for line in differences(shared, folder):
        print(f"  {line}")
    print("Now add its line to the table of README.md there, and run: .venv/bin/pytest tests/device_agent/board -q")


def adopted(shared: Shared, name: str, boards: Path) -> Path:
    """Write the tree `name` below `boards`. ValueError names what cannot be taken."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a tree's name: say --name, of small letters, digits and _")
    root = boards / name
    if root.exists():
        raise ValueError(f"there is a board {name} already: say another --name")
    paths = [*shared.files, *shared.links, *shared.failing, *shared.blocking, *shared.root_only]
    for path in paths:
        if not PATH.fullmatch(path) or ".." in path.split("/"):
            raise ValueError(f"{path!r} is not a path of a board's tree")
    for command in shared.programs:
        if not PROGRAM.fullmatch(command):
            raise ValueError(f"{command!r} is not a program that the agent runs")
    for link, target in shared.links.items():
        leads = os.path.normpath(f"{link}/../{target}")
        if not PATH.fullmatch(leads) or target.startswith("/"):
            raise ValueError(f"{link!r} leads out of the tree")
    _write(shared, root)
    expected = json.dumps(as_the_agent_reads(root), indent=1)
    (root / "expected.json").write_text(expected + "\n")
    return root


def _write(shared: Shared, root: Path) -> None:
    for path, text in shared.files.items():
        _file(root / path, text)
    for path in shared.failing:
        (root / path).mkdir(parents=True)
        (root / path / ".gitkeep").touch()
    for link, target in shared.links.items():
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(target)
    lines = [f"fifo {path}" for path in shared.blocking] + [f"mode 0400 {path}" for path in shared.root_only]
    for path in shared.root_only:
        _file(root / path, "0\n")  # its content is not known
    for path in shared.blocking:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    if lines:
        _file(root / "manifest", "\n".join(lines) + "\n")
    for command, output in shared.programs.items():
        _file(root / "said" / command, output)
        program = root / "bin" / command.split()[0]
        _file(program, STAND_IN)
        program.chmod(0o755)


def _file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def as_the_agent_reads(root: Path) -> dict[str, list[object]]:
    """Return what the agent reads from the tree with what git cannot hold, in a process of its own."""
    with tree_of(root) as whole:
        run, variables = [sys.executable, "-c", EXPECTED], environment(whole) | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(run, env=variables, capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, list[object]] = json.loads(done.stdout)
    return found


def differences(shared: Shared, root: Path) -> list[str]:
    """List where the agent reads something else from the tree than on the board: a file is missing in the list of collect.py."""
    known = json.loads((root / "expected.json").read_text())["machine"]
    names = ("model", "cpu", "os", "memory_kib", "cpu_max_khz", "governor", "release", "power_mode")
    read = dict(zip(names, known, strict=True))
    return [
        f"{name}: {shared.machine.get(name)!r} on the board, {read[name]!r} from its tree"
        for name in SAME
        if shared.machine.get(name) != read[name]
    ]


if __name__ == "__main__":
    main()
