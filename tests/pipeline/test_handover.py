"""What was made is handed over under readable names, and nobody else's file is touched."""

import hashlib
import os
import subprocess
import sys
import textwrap

import msgspec
import pytest

from pipeline import handover, plan, product
from pipeline.errors import PlanError, StageError
from pipeline.handover import MANIFEST, Item, Manifest, hand_over
from tests.support.handed_over import ABOUT, items
from tests.support.sample_run import artifact, run_of, whole_run


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def names(out):
    return {path.name for path in out.iterdir()}


def manifest(out):
    return msgspec.json.decode((out / MANIFEST).read_bytes(), type=Manifest)


def test_the_manifest_says_what_each_file_is(store, out):
    model = store.put_bytes(b"model", "tflite")
    handed = hand_over(out, [Item("m-int8.tflite", model, "model", "tflite-int8", "compressed")], ABOUT, store)
    (file,) = manifest(out).files
    assert handed.files == (file,)
    assert (out / file.name).read_bytes() == b"model"
    assert (file.sha256, file.size_bytes) == (model.sha256, 5)
    assert (file.format, file.variant, manifest(out).verdict) == ("tflite-int8", "compressed", "REGRESSED")
    assert manifest(out).model.sha256 == "1" * 64


def test_what_is_not_made_any_more_goes_and_other_files_stay(store, out):
    hand_over(out, items(a_tflite=b"1", b_tflite=b"2"), ABOUT, store)
    (out / "mine.txt").write_text("mine")
    hand_over(out, items(b_tflite=b"3"), ABOUT, store)
    assert names(out) == {"b.tflite", "mine.txt", MANIFEST}
    assert (out / "b.tflite").read_bytes() == b"3"


@pytest.mark.parametrize("kind", ["theirs", "ours, changed", "the same content", "link"])
def test_somebodys_own_file_of_that_name_stays(store, out, kind, tmp_path):
    if kind == "ours, changed":
        hand_over(out, items(m_tflite=b"old"), ABOUT, store)
    out.mkdir(exist_ok=True)
    if kind == "link":
        (tmp_path / "theirs").write_bytes(b"theirs")
        (out / "m.tflite").symlink_to(tmp_path / "theirs")
    else:
        (out / "m.tflite").write_bytes(b"new" if kind == "the same content" else b"theirs")
    before = (out / "m.tflite").read_bytes()
    for _ in range(2):  # also the next time
        handed = hand_over(out, items(m_tflite=b"new"), ABOUT, store)
        assert (out / "m.tflite").read_bytes() == before
        assert (out / "m-2.tflite").read_bytes() == b"new"
        assert "m-2.tflite" in handed.notes[0]
    hand_over(out, (), ABOUT, store)
    assert names(out) == {"m.tflite", MANIFEST}


def test_killed_at_any_write_the_next_one_puts_it_right(store, out, tmp_path):
    """The parts of a hand-over that was killed are known as edgepress's own: nothing is doubled, and nothing stays."""
    code = """
        import os, sys
        from pathlib import Path
        from pipeline import handover
        from pipeline.store import Store
        from tests.support.handed_over import ABOUT, items
        real, left = Path.replace, [int(sys.argv[2])]
        def replace(self, other):
            if left[0] == 0:
                os._exit(9)
            left[0] -= 1
            return real(self, other)
        store = Store(Path(sys.argv[1]) / ".edgepress")
        Path.replace = replace
        handover.hand_over(Path(sys.argv[1]) / "out", items(a_tflite=b"new", c_tflite=b"c"), ABOUT, store)
    """
    for writes in range(5):
        hand_over(out, items(a_tflite=b"old", b_tflite=b"b"), ABOUT, store)
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), tmp_path, str(writes)], check=False)
        assert done.returncode == (9 if writes < 4 else 0)
        handed = hand_over(out, items(a_tflite=b"new", c_tflite=b"c"), ABOUT, store)
        assert not handed.notes
        assert names(out) == {"a.tflite", "c.tflite", MANIFEST}
        for file in manifest(out).files:
            assert hashlib.sha256((out / file.name).read_bytes()).hexdigest() == file.sha256


def test_a_manifest_cannot_name_files_elsewhere(store, out, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"v")
    out.mkdir()
    evil = handover.HandoverFile(
        name="../victim", sha256=hashlib.sha256(b"v").hexdigest(), size_bytes=1, kind="model", format="x", variant=None
    )
    (out / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(ABOUT, files=(evil,))))
    hand_over(out, (), ABOUT, store)
    assert victim.exists()


def test_damaged_content_is_not_handed_over(store, out):
    model = store.put_bytes(b"model", "tflite")
    (store.root / "store" / model.sha256).write_bytes(b"mOdel")
    with pytest.raises(StageError, match="damaged"):
        hand_over(out, [Item("m.tflite", model, "model", "tflite")], ABOUT, store)
    assert names(out) == set()


# --- which folder


@pytest.fixture
def edge(tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text('[model]\npath = "m.tflite"\n')
    return plan.read(path)


def test_beside_the_plan_and_another_plan_has_its_own(edge, store, out, tmp_path):
    assert handover.folder_of(edge, None) == out
    hand_over(out, (), ABOUT, store)
    assert handover.folder_of(edge, None) == out
    small = tmp_path / "small.toml"
    small.write_text('[model]\npath = "m.tflite"\n')
    assert handover.folder_of(plan.read(small), None) == tmp_path / "out-small"
    with pytest.raises(PlanError, match=r"the plan edge\.toml has made"):
        handover.folder_of(plan.read(small), out)


def test_a_folder_that_cannot_take_it_is_said_before_the_work(edge, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / MANIFEST).write_text('{"name": "a web app"}')
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / MANIFEST)  # which would be waited for
    (tmp_path / "large").mkdir()
    with (tmp_path / "large" / MANIFEST).open("wb") as file:
        file.truncate(2**40)
    for given, why in (
        ("file", "not a folder"), ("theirs", "not written by edgepress"), ("file/below", "may not"),
        ("pipe", "not written by edgepress"), ("large", "not written by edgepress"), (".edgepress", "in the state folder"),
        (".edgepress/reports", "in the state folder"), (".edgepress/tmp/new", "in the state folder"),
    ):  # fmt: skip
        with pytest.raises(PlanError, match=why) as caught:
            handover.folder_of(edge, tmp_path / given)
        assert "-o" in caught.value.hint


def test_in_the_state_folder_where_nothing_can_be_written_beside_the_plan(edge, monkeypatch, tmp_path):
    monkeypatch.setattr(handover.folders, "writable", lambda _folder: False)
    elsewhere = plan.with_state(edge, tmp_path / "state")
    assert handover.folder_of(elsewhere, None) == tmp_path / "state" / "out"


# --- which files


def test_the_product_is_what_the_plan_asked_for(tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text(
        '[model]\npath = "sub/net.keras"\n[convert]\nformats = ["tflite-int8"]\n[[compress]]\npass = "codebook"\n'
    )
    run = whole_run()
    found = list(product.files_of(plan.read(path), run.compressed, run.converted))
    assert found[0].name == "net-tflite-int8.tflite"
    assert found[0].variant == "compressed"
    assert found[1].name == f"net-compressed.{run.compressed.model.artifact.format}"
    assert not any(item.variant == "original" for item in found)


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u6a21", "\U0001f600"])
def test_a_long_name_leaves_room_for_what_comes_behind_it(tmp_path, letter):
    """A file system takes 255 bytes, of which a letter may need four."""
    stem = letter * (240 // len(letter.encode()))
    path = tmp_path / "edge.toml"
    path.write_text(f'[model]\npath = "{stem}.keras"\n[convert]\nformats = ["tflite-int8"]\n', encoding="utf-8")
    (named,) = product.files_of(plan.read(path), msgspec.structs.replace(whole_run().compressed, passes=()), (
        msgspec.structs.replace(whole_run().converted[0], variant="original", format="tflite-int8"),
    ))  # fmt: skip
    (tmp_path / named.name).write_text("")
    assert named.name.startswith(letter * 30)
    assert named.name.endswith(f"{letter}-tflite-int8.{named.content.format}")


def test_a_file_as_it_is_keeps_its_name(edge):
    run = run_of(())
    run = msgspec.structs.replace(run, compressed=msgspec.structs.replace(run.compressed, passes=()))
    each = run_of(()).converted
    from pipeline.records import Converted

    made = Converted(variant="original", format="tflite", artifact=artifact("m"), agreement=None)
    assert [item.name for item in product.files_of(edge, run.compressed, (made, *each))] == ["m.tflite"]


def test_what_breaks_a_limit_is_handed_over_and_says_so(edge):
    run = whole_run()
    told = product.of_run(edge, run)
    assert (told.run_id, told.verdict) == (run.run_id, run.outcome.value)
    assert told.runtimes
    assert told.versions["python"]
    assert product.of_run(edge, run_of(())).verdict is None  # nothing was judged
    assert os.fspath(edge.path) == told.plan.path
