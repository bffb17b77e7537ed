"""A SavedModel folder as one file: the same for the same model, and nothing in it that does not belong."""

import io
import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from pipeline import bounds
from pipeline.errors import ModelError
from pipeline.frameworks import saved_model_archive

LEGACY = Path(__file__).parents[2] / "models" / "keras2" / "legacy"
GRAPH = "saved_model.pb"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(LEGACY, tmp_path / "saved", copy_function=shutil.copy)
    (tmp_path / "saved" / "assets").mkdir()
    (tmp_path / "saved" / "assets" / "words.txt").write_text("on\noff\n")
    return tmp_path / "saved"


def archive_of(tmp_path, members):
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_there_and_back(folder, tmp_path):
    (tmp_path / "stored").write_bytes(saved_model_archive.packed(folder))
    found = saved_model_archive.unpacked(tmp_path / "stored", tmp_path)
    names = [
        "assets/words.txt",
        "keras_metadata.pb",
        GRAPH,
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]
    assert sorted(str(each.relative_to(found)) for each in found.rglob("*") if each.is_file()) == names
    for name in names:
        assert (found / name).read_bytes() == (folder / name).read_bytes()
    assert saved_model_archive.unpacked(tmp_path / "stored", tmp_path) != found  # two children may share a folder


def test_dates_names_and_what_does_not_belong_change_nothing(folder, tmp_path):
    before = saved_model_archive.packed(folder)
    os.utime(folder / GRAPH, (10**9, 10**9))
    (folder / GRAPH).chmod(stat.S_IRUSR)
    (folder / "fingerprint.pb").write_bytes(b"another random number")
    (folder / "README.md").write_text("notes")
    (folder / "variables" / ".hidden").write_text("of a file manager")
    folder.rename(tmp_path / "elsewhere")
    assert saved_model_archive.packed(tmp_path / "elsewhere") == before


def test_every_other_weight_changes_it(folder):
    before = saved_model_archive.packed(folder)
    path = folder / "variables" / "variables.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert saved_model_archive.packed(folder) != before


def test_links_and_pipes_are_refused(folder, tmp_path):
    (folder / "assets" / "words.txt").unlink()
    (folder / "assets" / "words.txt").symlink_to("/etc/passwd")
    with pytest.raises(ModelError, match=r"saved: assets/words\.txt is not an ordinary file"):
        saved_model_archive.packed(folder)
    (folder / "assets" / "words.txt").unlink()
    os.mkfifo(folder / "assets" / "words.txt")
    with pytest.raises(ModelError, match=r"assets/words\.txt is not an ordinary file"):
        saved_model_archive.packed(folder)
    (folder / "assets" / "words.txt").unlink()
    shutil.move(folder / "variables", tmp_path / "variables")
    (folder / "variables").symlink_to(tmp_path / "variables")
    with pytest.raises(ModelError, match="variables is not an ordinary file"):
        saved_model_archive.packed(folder)


def test_a_graph_that_is_a_folder(tmp_path):
    (tmp_path / "saved" / GRAPH).mkdir(parents=True)
    assert saved_model_archive.is_saved_model(tmp_path / "saved")
    with pytest.raises(ModelError, match=r"saved is not a SavedModel: it has no file saved_model\.pb"):
        saved_model_archive.packed(tmp_path / "saved")


@pytest.mark.parametrize("name", ["line\nbreak", os.fsdecode(b"caf\xe9")])
def test_a_name_that_no_archive_can_hold(folder, name):
    (folder / "assets" / name).write_text("x")
    with pytest.raises(ModelError, match=r"(?s)saved: the name of assets/.* holds what no text does"):
        saved_model_archive.packed(folder)


def test_more_than_the_memory(folder):
    with pytest.raises(ModelError, match="is the most that is read on this machine"):
        saved_model_archive.packed(folder, "saved", of_bytes=10_000)


def test_a_file_that_changes_while_it_is_read(folder, monkeypatch):
    sizes = saved_model_archive.saved_model_check.files_in(folder, "saved")
    for wrong in (-1, 1):
        monkeypatch.setattr(
            saved_model_archive.saved_model_check,
            "files_in",
            lambda *_, wrong=wrong: sizes | {GRAPH: sizes[GRAPH] + wrong},
        )
        with pytest.raises(ModelError, match=r"saved: saved_model\.pb changed while it was read"):
            saved_model_archive.packed(folder)


def test_a_damaged_graph_is_seen_without_tensorflow(folder):
    whole = (folder / GRAPH).read_bytes()
    saved_model_archive.check(saved_model_archive.packed(folder), "saved")
    (folder / GRAPH).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"saved is damaged: its saved_model\.pb cannot be read to its end"):
        saved_model_archive.check(saved_model_archive.packed(folder), "saved")
    (folder / GRAPH).write_bytes(b"")
    with pytest.raises(ModelError, match=r"saved is not a SavedModel: its saved_model\.pb has no graph in it"):
        saved_model_archive.check(saved_model_archive.packed(folder), "saved")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../outside", "'../outside' does not belong"),
        ("/etc/passwd", "'/etc/passwd' does not belong"),
        ("assets/../../outside", r"'assets/\.\./\.\./outside' does not belong"),
        ("assets/./x", "does not belong"),
        ("assets//x", "does not belong"),
        ("assets/\\..\\x", "does not belong"),
        ("variables/code.so", "'variables/code.so' does not belong"),
    ],
)
def test_members_that_lead_out_of_the_folder(tmp_path, name, said):
    path = archive_of(tmp_path, [(GRAPH, b"\x12\x00"), (name, b"x")])
    with pytest.raises(ModelError, match=f"made.zip is not an archive of a SavedModel: .*{said}"):
        saved_model_archive.unpacked(path, tmp_path)
    assert not (tmp_path.parent / "outside").exists()


def test_archives_that_are_none(tmp_path, monkeypatch):
    def refused(said):
        with pytest.raises(ModelError, match=said):
            saved_model_archive.unpacked(tmp_path / "made.zip", tmp_path)

    (tmp_path / "made.zip").write_bytes(b"no zip")
    refused("File is not a zip file")
    archive_of(tmp_path, [("variables/variables.index", b"x")])
    refused("not one saved_model.pb")
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive_of(tmp_path, [(GRAPH, b"x"), (GRAPH, b"x")])
    refused("or one twice")
    archive_of(tmp_path, [(GRAPH, b"x"), ("assets/a", b"x"), ("assets/a/b", b"x")])
    refused("is not an archive of a SavedModel")
    with zipfile.ZipFile(tmp_path / "made.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(GRAPH, bytes(10**6))
    refused("'saved_model.pb' is compressed")
    archive_of(tmp_path, [(GRAPH, bytes(1000))])
    monkeypatch.setenv(bounds.VARIABLE, "2000")
    refused("is the most that is read on this machine")
    monkeypatch.undo()
    monkeypatch.setattr(saved_model_archive, "MOST_FILES", 0)
    refused("too many")


def test_two_members_in_one_place(tmp_path):
    """Two entries that share their bytes, so that a small file would become a large folder."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(GRAPH, bytes(10_000))
        for number in range(20):
            info = zipfile.ZipInfo(f"assets/{number}")
            archive.writestr(info, b"")
            info.file_size = info.compress_size = 10_000
            info.header_offset = 0
    (tmp_path / "made.zip").write_bytes(data.getvalue())
    with pytest.raises(ModelError, match=r"its members have 210,000 bytes, and the file"):
        saved_model_archive.unpacked(tmp_path / "made.zip", tmp_path)
