"""Where the state of a plan lies, and that nothing of somebody else's is taken for it."""

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from pipeline import flow, plan, state
from pipeline.errors import PlanError
from pipeline.progress import Silent
from pipeline.records import Processor
from pipeline.store import Store, runs
from pipeline.store.store import _unusable
from targets import folders
from tests.support.commands import TFLITE, edgepress, no_trace, refused, without_extras, write

PLAN = '[model]\npath = "m.tflite"\n'


def test_beside_the_plan(tmp_path):
    assert state.folder_of(tmp_path, None) == tmp_path / ".edgepress"


def test_where_nothing_can_be_written_it_is_the_users_own(tmp_path, monkeypatch):
    """A read-only checkout; two of the same name have two folders, and the answer stays the same."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(folders, "writable", lambda _folder: False)
    found = {state.folder_of(Path(plan), None) for plan in ("/a/project", "/b/project", "/a/project")}
    assert len(found) == 2
    assert {each.parent for each in found} == {tmp_path / "state/edgepress"}
    assert all(each.name.startswith("project-") for each in found)
    (tmp_path / ".edgepress").mkdir()
    assert state.folder_of(tmp_path, None) == tmp_path / ".edgepress"  # it is there, so it is used


def test_a_home_folder_in_the_variable(tmp_path, monkeypatch):
    """~ comes through where no shell has seen it: in a unit of systemd, or the settings of a CI job."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state.folder_of(tmp_path / "project", Path("~/kept")) == tmp_path / "kept"
    with pytest.raises(PlanError, match="--state ~nobody-of-this-name/kept"):
        state.folder_of(tmp_path, Path("~nobody-of-this-name/kept"))


def test_a_folder_of_something_else_is_refused(tmp_path):
    """What edgepress does not need in its folders is removed: tmp/ of a home or of / must not be taken for its own."""
    theirs = tmp_path / "home"
    (theirs / "tmp" / "work").mkdir(parents=True)
    for given in (theirs, tmp_path, Path("/")):
        with pytest.raises(PlanError, match="something else"):
            state.folder_of(tmp_path, given)
    path = write(tmp_path, PLAN, m_tflite=TFLITE)
    refused(edgepress("load", path, "--state", theirs), 2, "something else", "--state")
    assert (theirs / "tmp" / "work").exists()
    assert [each.name for each in theirs.iterdir()] == ["tmp"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert state.folder_of(tmp_path, empty) == empty
    Store(empty).close()
    assert state.folder_of(tmp_path, empty) == empty


@pytest.mark.parametrize("how", ["option", "variable"])
def test_state_elsewhere_leaves_the_checkout_as_it_is(tmp_path, how):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    path = write(checkout, PLAN, m_tflite=TFLITE)
    before = sorted(checkout.iterdir())
    elsewhere = tmp_path / "elsewhere"
    option = ("--state", elsewhere) if how == "option" else ()
    environment = without_extras(tmp_path) | ({"EDGEPRESS_STATE": str(elsewhere)} if how == "variable" else {})
    said = edgepress("load", path, *option, env=environment)
    assert said.returncode == 0, said.stderr
    assert sorted(checkout.iterdir()) == before
    assert list((elsewhere / "store").iterdir())
    refused(edgepress("report", path, *option, env=environment), 2, "no finished run")
    no_trace(checkout)


def test_home_and_variables_in_what_no_shell_has_seen(tmp_path, monkeypatch):
    """--state=~/x and EDGEPRESS_STATE arrive as they are: one rule, that of the plan and of boards.toml."""
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, PLAN, m_tflite=TFLITE)
    home = tmp_path / "home"
    home.mkdir()
    environment = without_extras(tmp_path) | {"HOME": str(home)}
    said = edgepress("load", path, env=environment | {"EDGEPRESS_STATE": "~/mine"})
    assert said.returncode == 0, said.stderr
    assert list((home / "mine" / "store").iterdir())
    assert not (tmp_path / "~").exists()
    for option in ("--state=$HOME/state", "--state=~nobody-of-this-name/x"):
        said = edgepress("load", path, option, env=environment)
        assert said.returncode == 2
        assert "'--state'" in said.stderr
    assert edgepress("run", path, "--out=$HOME/out", env=environment).returncode == 2
    assert not (tmp_path / "$HOME").exists()


def test_a_state_folder_of_a_name_that_is_too_long(tmp_path):
    path = write(tmp_path, PLAN, m_tflite=TFLITE)
    refused(edgepress("load", path, "--state", tmp_path / ("x" * 300)), 5, "File name too long", "a shorter one")


def test_a_state_folder_of_another_user(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("giving a folder away needs root")
    error = PermissionError(13, "Permission denied", str(tmp_path / "store"))
    os.chown(tmp_path, 54321, 54321)
    told = _unusable(tmp_path, error)
    assert "54321" in told.hint
    assert "--state" in told.hint


def test_a_plan_that_says_home_to_a_user_without_one(tmp_path, monkeypatch):
    path = write(tmp_path, PLAN)
    monkeypatch.delenv("HOME")

    def nameless(_number):
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", nameless)
    with pytest.raises(PlanError, match="~/m"):
        plan.read(path).file("~/m.tflite")


def test_clean_from_the_command_line(tmp_path):
    path = write(tmp_path, PLAN, m_tflite=TFLITE)
    assert "nothing to remove" in edgepress("clean", path).stdout
    assert not (tmp_path / ".edgepress").exists()
    assert edgepress("load", path, env=without_extras(tmp_path)).returncode == 0
    store = tmp_path / ".edgepress" / "store"
    assert list(store.iterdir())
    everything = ("--keep", "0", "--older-than", "0s")
    said = edgepress("clean", tmp_path, *everything, "--dry-run")  # a folder is enough
    assert said.returncode == 0, said.stderr
    assert "would free" in said.stdout
    assert list(store.iterdir())
    assert edgepress("clean", path, *everything).stdout.startswith("freed ")
    assert not list(store.iterdir())
    for option in (("--older-than", "yesterday"), ("--max-size", "5 furlongs"), ("--keep", "-1")):
        refused_option = edgepress("clean", path, *option)
        assert refused_option.returncode == 2
        assert option[0] in refused_option.stderr


def test_a_run_keeps_the_state_folder_within_the_bound_of_its_plan(tmp_path):
    class Told(Silent):
        said = ()

        def say(self, sentence):
            self.said += (sentence,)

    path = write(tmp_path, PLAN + "[state]\nkeep_runs = 2\n")
    store, told = Store(tmp_path / ".edgepress"), Told()
    now = flow.Run(plan=plan.read(path), store=store, progress=told, processor=Processor(), held=contextlib.ExitStack())
    for _ in range(5):
        run_id = store.next_run_id(datetime.now(UTC))
        store.keep_run(run_id, msgspec.json.encode({"plan_path": str(path)}))
    store.close()  # as five runs of before
    now.store = Store(tmp_path / ".edgepress")
    flow._bound(now)
    assert [each.stem[:4] for each in runs.in_order(store.root)] == ["0004", "0005"]
    assert len(told.said) == 1
    assert "3 old runs" in told.said[0]
    flow._bound(now)
    assert len(told.said) == 1


def test_the_bound_of_the_state_changes_nothing_that_was_measured(tmp_path):
    path = write(tmp_path, PLAN)
    before = plan.read(path).without_limits_sha256
    path.write_text(PLAN + "[state]\nkeep_runs = 2\nmax_bytes = 1\n")
    assert plan.read(path).without_limits_sha256 == before
