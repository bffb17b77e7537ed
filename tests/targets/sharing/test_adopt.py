"""A file of a stranger becomes a tree, and writes nowhere else."""

import random
import sys

import msgspec
import pytest

from tests.support import board_trees
from tests.targets.sharing.adopting import adopt_board
from tests.targets.sharing.shared import shared_of


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"../../x": ""}}, {"files": {"proc/../../x": ""}}, {"files": {"/etc/passwd": ""}}, {"files": {"home/x": ""}},
        {"files": {"proc/a b": ""}}, {"links": {"sys/a": "../../.."}}, {"links": {"sys/a": "/etc"}}, {"failing": ["tests/x"]},
        {"blocking": ["proc/a\nmode 0777 /etc"]}, {"programs": {"../sh": ""}}, {"programs": {"sh; rm": ""}}, {"root_only": ["etc/.."]},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_that_would_write_elsewhere_is_refused(change, tmp_path):
    shared = msgspec.structs.replace(shared_of(board_trees.tree("pc", tmp_path)), **change)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"is not a path|is not a program|leads out"):
        adopt_board.adopted(shared, "bad", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["", "../x", "Pi", "pc"])
def test_a_name_that_is_none_or_taken_is_refused(name, tmp_path):
    shared = shared_of(board_trees.tree("pc", tmp_path))
    with pytest.raises(ValueError, match="name"):
        adopt_board.adopted(shared, name, tmp_path)


def test_the_command_adopts_and_tells_what_differs(tmp_path, monkeypatch, capsys):
    shared = shared_of(board_trees.tree("pi5", tmp_path))
    shared = msgspec.structs.replace(
        shared, kind="raspberry_pi_5", machine={"model": "Raspberry Pi 6", "governor": "ondemand"}
    )
    (tmp_path / "board.json").write_bytes(msgspec.json.encode(shared))
    monkeypatch.setattr(adopt_board, "BOARDS", tmp_path / "boards")
    monkeypatch.setattr(sys, "argv", ["adopt_board.py", str(tmp_path / "board.json")])
    adopt_board.main()
    said = capsys.readouterr().out
    assert "raspberry_pi_5" in said
    assert "model: 'Raspberry Pi 6' on the board, 'Raspberry Pi 5 Model B Rev 1.0' from its tree" in said
    assert "governor" not in said
    (tmp_path / "board.json").write_text('{"schema": 1, "unknown": 2}')
    with pytest.raises(SystemExit):
        adopt_board.main()


def test_a_random_file_never_leaves_the_folder(tmp_path):
    drawn = random.Random(0)
    pieces = ["proc", "sys", "etc", "..", ".", "a", "", "x" * 5, "~", "\n", "cpu0"]
    shared = shared_of(board_trees.tree("pc", tmp_path))
    outside = sorted(tmp_path.iterdir())
    for number in range(300):
        path = "/".join(drawn.choices(pieces, k=drawn.randint(1, 5)))
        try:
            adopt_board.adopted(msgspec.structs.replace(shared, files={path: "x"}), f"t{number}", tmp_path / "boards")
        except ValueError:
            continue
    assert [each for each in sorted(tmp_path.iterdir()) if each not in outside] in ([], [tmp_path / "boards"])
