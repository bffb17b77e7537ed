"""The trees of boards/ (its README.md says what they are), with what git can not hold."""

import os
import shutil
from pathlib import Path

BOARDS = Path(__file__).parent / "boards"
NAMES = sorted(path.name for path in BOARDS.iterdir() if path.is_dir())


def tree(name: str, folder: Path) -> Path:
    """A copy of a board's tree in a folder of the test, complete."""
    root = Path(shutil.copytree(BOARDS / name, folder / name, symlinks=True))
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
