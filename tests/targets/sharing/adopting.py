"""The script that adopts a board that was shared: adopt_board, of a folder that is no package."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

import adopt_board  # noqa: E402, F401 - for the tests

sys.path.remove(str(ROOT / "scripts"))
