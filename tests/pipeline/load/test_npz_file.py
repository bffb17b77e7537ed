"""Reading .npz: whatever a file holds, it is rows or one sentence about that file, and its size is known before it is unpacked."""

import io
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.load import data, npz_file
from pipeline.load.data_stage import Stage
from pipeline.progress import Silent


def read(path, key):
    """Return all arrays of a file by their names, and the labels under None."""
    with tempfile.TemporaryDirectory() as folder:
        columns, labels, *_ = npz_file.staged(path, key, Stage(Path(folder), key, str))
        found = {name: np.load(each.path) for name, each in columns.items()}
        return found if labels is None else {**found, None: np.load(labels.path)}


def archive(path, compression=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "."), content)
    return path


def npy(array, **header):
    made = io.BytesIO()
    np.lib.format.write_array(made, np.asarray(array), **header)
    return made.getvalue()


def with_header(text, body=b"", version=1):
    text = text.encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes((version, 0)) + length + text + body


def shape(text, dtype="<f4"):
    return with_header(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {text}, }}", bytes(16))


GOOD = np.arange(12, dtype=np.float32).reshape(3, 4)
BAD = {
    "no zip": (b"this is no archive", "not a zip file"),
    "empty": (b"", "not a zip file"),
    "npy": (npy(GOOD), "it is an .npy file"),
    "no x": ({"y__npy": npy(GOOD)}, "no array named x, only y"),
    "text": ({"x__npy": b"1.0, 2.0, 3.0"}, "x.npy is not a NumPy array"),
    "text without an ending": ({"x": b"1.0, 2.0, 3.0"}, "x is not a NumPy array"),
    "nothing": ({"x__npy": b""}, "x.npy is not a NumPy array"),
    "only the magic": ({"x__npy": b"\x93NUMPY"}, "cannot be read as .npz"),
    "objects": ({"x__npy": npy(np.array([{}, []], dtype=object), allow_pickle=True)}, "holds Python objects"),
    "trillions": ({"x__npy": shape("(1000000, 1000000)")}, "holds 16 bytes, and its header says"),
    "beyond 64 bits": ({"x__npy": shape("(10**30, 4)".replace("10**30", "1" + "0" * 30))}, "cannot be read as .npz"),
    "negative": ({"x__npy": shape("(-4, -1)")}, "cannot be read as .npz"),
    "cut off": ({"x__npy": npy(GOOD)[:-8]}, "holds 40 bytes"),
    "too long": ({"x__npy": npy(GOOD) + b"more"}, "holds 52 bytes"),
    "deep header": ({"x__npy": with_header("(" * 9000)}, "cannot be read as .npz"),
    "code in the header": ({"x__npy": with_header("{'descr': exit(3)}")}, "cannot be read as .npz"),
    "endless header": ({"x__npy": with_header("{" + " " * 70_000, version=2)}, "a header of 70,0"),
    "version 3": ({"x__npy": with_header("{}", version=3)}, "version 3"),
    "y of another kind": ({"x__npy": npy(GOOD), "y__npy": b"PK"}, "y.npy is not a NumPy array"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files(kind, tmp_path):
    content, says = BAD[kind]
    path = tmp_path / "rows.npz"
    path.write_bytes(content) if isinstance(content, bytes) else archive(path, **content)
    with pytest.raises(DataError) as caught:
        read(path, "data.evaluation")
    assert says in caught.value.message
    assert "data.evaluation: rows.npz" in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("packed", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_python_unpacks_without_a_bound(tmp_path, packed):
    """Of 800 MB of zeros in 800 bytes of bzip2, reading the first twelve took 1.6 GB and 20 s."""
    path = archive(tmp_path / "rows.npz", packed, x__npy=npy(GOOD))
    with pytest.raises(DataError, match="packed in another way than numpy's"):
        read(path, "data.training")


def test_a_file_of_any_length_is_looked_at_before_it_is_hashed(empty):
    with (empty.folder / "rows.npz").open("wb") as file:
        file.truncate(2**42)
    with pytest.raises(DataError, match=r"data\.evaluation: rows\.npz cannot be read as \.npz"):
        data.read(empty.plan('[model]\npath = "m.keras"\n[data]\nevaluation = "rows.npz"\n'), empty.store, Silent())


def test_good_files(tmp_path):
    for save in (np.savez, np.savez_compressed):
        for array in (
            *(GOOD, np.asfortranarray(GOOD), np.asfortranarray(GOOD.reshape(3, 2, 2)), GOOD.astype(">f8"), GOOD > 3),
            *(GOOD.astype("f2"), GOOD.astype(">i2"), GOOD.astype(np.longdouble), GOOD[:, 0]),
        ):
            save(tmp_path / "rows.npz", x=array, y=np.arange(3), more=GOOD[:, :1])
            found = read(tmp_path / "rows.npz", "data.training")
            assert list(found) == ["x", "more", None]
            assert np.array_equal(found["x"], array)
            assert found["x"].dtype == (np.float64 if array.dtype == np.longdouble else array.dtype.newbyteorder("="))
            assert np.array_equal(found[None], np.arange(3))
    np.savez(tmp_path / "rows.npz", x=GOOD)
    assert list(read(tmp_path / "rows.npz", "data.training")) == ["x"]


def test_labels_and_an_input_that_is_called_y(tmp_path):
    """`y` is labels where it can be and there is no `labels`; what cannot be labels is an input."""
    path = tmp_path / "rows.npz"
    for arrays, columns, labels in (
        ({"x": GOOD, "y": np.arange(3)}, {"x"}, [0, 1, 2]),
        ({"x": GOOD, "y": np.arange(3), "labels": np.array([[5], [6], [7]], "u1")}, {"x", "y"}, [5, 6, 7]),
        ({"x": GOOD, "y": GOOD}, {"x", "y"}, None),
        ({"x": GOOD, "y": GOOD[:, 0]}, {"x", "y"}, None),
        ({"x": GOOD, "y": np.ones((3, 2), int)}, {"x", "y"}, None),
        ({"y": GOOD, "labels": np.arange(3)}, {"y"}, [0, 1, 2]),
    ):
        np.savez(path, **arrays)
        found = read(path, "data.training")
        assert found.keys() - {None} == columns
        assert (None if labels is None else found[None].tolist()) == labels
        assert labels is None or found[None].dtype == np.int64


def test_a_damaged_byte_is_seen(tmp_path):
    """The archive holds a checksum of each member."""
    np.savez(tmp_path / "rows.npz", x=GOOD)
    content = bytearray((tmp_path / "rows.npz").read_bytes())
    content[content.index(GOOD.tobytes()) + 5] ^= 1
    (tmp_path / "rows.npz").write_bytes(content)
    with pytest.raises(DataError, match="Bad CRC-32"):
        read(tmp_path / "rows.npz", "data.training")


@pytest.fixture(scope="module")
def bomb(tmp_path_factory):
    """300 MiB of zeros, as np.savez_compressed writes them."""
    path, unpacked_bytes = tmp_path_factory.mktemp("bomb") / "rows.npz", 300 << 20
    head = with_header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({unpacked_bytes // 1024}, 1024), }}")
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(head)
        for _ in range(unpacked_bytes >> 20):
            member.write(bytes(2**20))
    return path


def test_a_small_file_that_unpacks_to_more_than_its_hundredfold(bomb):
    with pytest.raises(DataError, match=r"unpacks from \d.* to 300 MiB, more than 100 times its size") as caught:
        read(bomb, "data.evaluation")
    assert "uncompressed" in caught.value.hint


def test_more_than_the_disk_has_left(tmp_path, monkeypatch):
    np.savez(tmp_path / "rows.npz", x=np.zeros((11, 1 << 20), np.uint8))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=10 << 20))
    with pytest.raises(
        DataError, match=r"data\.evaluation has 11\.0 MiB of rows, and the disk of .* 10\.0 MiB left"
    ) as caught:
        read(tmp_path / "rows.npz", "data.evaluation")
    assert "--state DIR" in caught.value.hint


def test_a_bomb_takes_no_memory(bomb):
    """Measured: the process that refuses it has grown by less than a fifth of what it would unpack to."""
    script = (
        "import resource, sys; from pathlib import Path; from pipeline.load import npz_file\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: npz_file.check(Path(sys.argv[1]), 'data.evaluation')\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, bomb], capture_output=True, text=True, check=True
    ).stdout.split()
    assert said[0] == "DataError"
    assert int(said[1]) < 60 << 10


@settings(max_examples=300)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=8),
    cut=st.floats(0, 1),
    compressed=st.booleans(),
)
def test_mutated_files_are_rows_or_one_sentence(flips, cut, compressed, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "mutated.npz"
    (np.savez_compressed if compressed else np.savez)(path, x=GOOD, y=np.arange(3))
    content = bytearray(path.read_bytes())
    for at, flip in flips:
        content[int(at * len(content))] ^= flip
    path.write_bytes(content[: max(1, int(len(content) * cut))] if cut < 0.5 else content)
    said = ""
    try:
        found = read(path, "data.evaluation")
    except DataError as error:
        said = error.message
    assert ("mutated.npz" in said and len(said) < 500) if said else sum(x.nbytes for x in found.values()) <= 1 << 20
