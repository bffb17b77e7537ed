"""Several processes in one state folder: nobody loses what somebody else has removed."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

from pipeline.errors import PlanError, StageError
from pipeline.store import Store
from pipeline.store.clean import Bound, clean


def failing(store, *steps):
    with pytest.raises(PlanError), store.undone_on_error():
        for step in steps:
            step()
        raise PlanError("bad input", hint="correct it")


def test_bad_input_leaves_no_trace(folder):
    store = folder.store()
    failing(store, lambda: folder.answer(store, "k", b"rows"))
    assert not folder.names("store") | folder.names("answers") | folder.names("verified")


@pytest.mark.parametrize("how", ["looks", "puts", "answers", "opens"])
def test_what_another_process_needs_stays(folder, how):
    store, other = folder.store(), folder.store()
    artifacts = []

    def needs():
        (artifact,) = folder.answer(store, "k", b"rows")[0].artifacts
        artifacts.append(artifact)
        {
            "looks": lambda: other.has(artifact),
            "puts": lambda: other.put_bytes(b"rows", "npy"),
            "answers": lambda: folder.answer(other, "k", b"rows"),
            "opens": lambda: other.path(artifact),
        }[how]()

    failing(store, needs)
    assert other.path(artifacts[0]).read_bytes() == b"rows"
    if how == "answers":
        assert folder.answer(other, "k", b"rows")[1]


@pytest.mark.parametrize("how", ["answer", "run"])
def test_what_an_answer_or_a_run_of_a_process_that_has_ended_names_stays(folder, how):
    store, other = folder.store(), folder.store()

    def needs():
        (artifact,) = folder.answer(store, "mine", b"rows")[0].artifacts
        folder.answer(other, "theirs", b"rows") if how == "answer" else folder.run(other, "/edge.toml", artifact)
        other.close()

    failing(store, needs)
    assert folder.names("store")
    third = folder.store()
    assert folder.answer(third, "theirs", b"rows")[1] == (how == "answer")


def test_what_was_there_before_stays(folder):
    store = folder.store()
    store.put_bytes(b"old", "npy")
    failing(store, lambda: store.put_bytes(b"old", "npy"), lambda: store.put_bytes(b"new", "npy"))
    assert len(folder.names("store")) == 1


def test_both_fail_and_nothing_is_left(folder):
    store, other = folder.store(), folder.store()
    failing(
        store,
        lambda: store.put_bytes(b"rows", "npy"),
        lambda: failing(other, lambda: other.put_bytes(b"rows", "npy")),
        other.close,
    )
    assert not folder.names("store")


def test_what_a_child_needs_its_parents_neighbour_leaves(folder):
    store, other = folder.store(), folder.store()
    artifact = store.put_bytes(b"rows", "npy")
    with other.scratch() as scratch:
        child = Store(other.root, tmp=scratch)
        assert child.has(artifact)
        store.close()
        clean(folder.store(), Bound(keep_runs=0, older_than_s=0))
        assert child.path(artifact).read_bytes() == b"rows"


def test_a_process_that_was_killed_needs_nothing_any_more(folder):
    code = """
        import os, signal, sys
        from pathlib import Path
        from pipeline.store import Store
        store = Store(Path(sys.argv[1]))
        store.put_bytes(b"rows", "npy")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), folder.root], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert folder.names("leases")
    store = folder.store()
    assert folder.names("leases") <= {store.tmp.name}
    clean(store, Bound(keep_runs=1))
    assert not folder.names("store")


def test_a_closed_store_promises_nothing_and_leaves_no_lease(folder):
    store = folder.store()
    artifact = store.put_bytes(b"rows", "npy")
    store.close()
    assert store.path(artifact).read_bytes() == b"rows"
    assert not folder.names("leases") | folder.names("tmp")


def test_data_in_it_stays_out_of_version_control(folder):
    folder.root.parent.joinpath("edge.toml").write_text("")
    folder.store().put_bytes(b"rows", "npy")
    git = shutil.which("git")
    if git is None:
        pytest.skip("no git")
    subprocess.run([git, "init", "-q", folder.root.parent], check=True)
    said = subprocess.run(
        [git, "-C", folder.root.parent, "status", "--porcelain", "-uall"], check=True, capture_output=True, text=True
    ).stdout
    assert said == "?? edge.toml\n"


@pytest.mark.parametrize("kind", ["file", "dangling"])
def test_a_folder_that_cannot_be_is_a_sentence(folder, kind):
    if kind == "file":
        folder.root.write_text("mine")
    else:
        folder.root.symlink_to("/nowhere/at/all")
    with pytest.raises(StageError, match=r"is a (file|link that leads nowhere)") as caught:
        folder.store()
    assert "--state" in caught.value.hint
    assert os.path.lexists(folder.root)
