"""The trees of tests/boards (its README.md says what they are), with what git cannot hold."""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

BOARDS = Path(__file__).parents[1] / "boards"
NAMES = sorted(path.name for path in BOARDS.iterdir() if path.is_dir())
ADOPTED = sorted(
    path.parent.name for path in BOARDS.glob("*/expected.json")
)  # recorded on a board: scripts/adopt_board.py


def expected(name: str, what: str) -> tuple:
    """Of an adopted tree: what the agent reads of it as `machine` or `conditions`, in the order of the tests' tables."""
    return tuple(json.loads((BOARDS / name / "expected.json").read_text())[what])


def tree(name: str, folder: Path) -> Path:
    """A copy of a board's tree in a folder of the test, complete."""
    return whole(BOARDS / name, folder / name)


@contextlib.contextmanager
def tree_of(root: Path):
    """The same, of a tree anywhere, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        yield whole(root, Path(folder) / root.name)


def whole(source: Path, target: Path) -> Path:
    root = Path(shutil.copytree(source, target, symlinks=True))
    manifest = root / "manifest"
    for line in manifest.read_text().splitlines() if manifest.exists() else []:
        kind, *mode, path = line.split()
        if kind == "fifo":
            os.mkfifo(root / path)
        elif kind == "mode":
            (root / path).chmod(int(mode[0], 8))
        else:
            raise ValueError(f"{manifest}: {line}")
    return root


def environment(root: Path) -> dict[str, str]:
    """What makes the agent see the tree, with the board's programs and none of this machine's."""
    return {"EDGEPRESS_FS_ROOT": str(root), "PATH": str(root / "bin")}
