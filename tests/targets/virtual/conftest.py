"""A board for a proxy."""

import pytest

from tests.support.echo_board import Board


@pytest.fixture
def board():
    board = Board()
    yield board
    board.close()
