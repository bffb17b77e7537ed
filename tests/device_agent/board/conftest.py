"""A board's tree in the place of this machine's."""

import pytest

from device_agent.board import procfs
from tests.support import board_trees


@pytest.fixture
def board(monkeypatch, tmp_path):
    """Make the agent's code see a tree: that of a board by its name, with its programs, or a folder, with those of bin/."""
    monkeypatch.setattr(procfs, "_silent", set())

    def see(name):
        root = board_trees.tree(name, tmp_path / "boards") if isinstance(name, str) else name
        for variable, value in board_trees.environment(root).items():
            monkeypatch.setenv(variable, value)
        return root

    return see
