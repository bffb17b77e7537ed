"""Where a user's files lie: by XDG, also for one without a home or a name."""

import os
import pwd
from pathlib import Path

import pytest

from targets import folders, inventory
from targets.errors import FolderUnusable


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """`docker run -u 1234`: no HOME, no XDG_*, no entry in the password database."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def nameless(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", nameless)
    monkeypatch.setattr(folders.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path / f"edgepress-{os.getuid()}"


def test_a_user_without_home_and_name_has_a_folder_of_its_own(nobody):
    assert folders.home() is None
    assert folders.user() == str(os.getuid())
    assert folders.named_user() is None
    assert folders.config_folder() is None
    assert folders.cache_folder() == nobody / "cache"
    assert folders.state_folder() == nobody / "state"
    assert nobody.stat().st_mode & 0o777 == 0o700
    assert inventory.inventory_path(Path("somewhere")) == Path("somewhere/boards.toml")
    assert inventory.find("local", Path()).root == str(nobody / "cache" / "local-board")


@pytest.mark.parametrize("kind", ["open to others", "link", "file"])
def test_a_folder_that_somebody_else_made_is_not_used(nobody, kind, tmp_path):
    if kind == "open to others":
        nobody.mkdir()
        nobody.chmod(0o777)
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        nobody.symlink_to(tmp_path / "elsewhere")
    else:
        nobody.write_text("")
    with pytest.raises(FolderUnusable) as caught:
        folders.cache_folder()
    assert "XDG_CACHE_HOME" in caught.value.hint


@pytest.mark.parametrize("value", ["relative/path", ""])
def test_a_relative_path_is_ignored_as_the_specification_says(nobody, monkeypatch, value):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("XDG_CONFIG_HOME", value)
    assert folders.cache_folder() == nobody / "cache"
    assert folders.config_folder() is None


def test_each_variable_is_obeyed(nobody, monkeypatch):
    for kind in ("CACHE", "STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", f"/xdg/{kind}")
    assert folders.cache_folder() == Path("/xdg/CACHE/edgepress")
    assert folders.state_folder() == Path("/xdg/STATE/edgepress")
    assert folders.config_folder() == Path("/xdg/CONFIG/edgepress")


def test_a_home_is_used_where_it_can_be_written(nobody, monkeypatch, tmp_path):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert folders.cache_folder() == tmp_path / "home/.cache/edgepress"
    assert folders.state_folder() == tmp_path / "home/.local/state/edgepress"
    monkeypatch.setattr(folders.os, "access", lambda *_: False)  # read-only; root may write everywhere else
    assert folders.cache_folder() == nobody / "cache"
