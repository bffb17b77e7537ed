"""[data] from .npy files: one array, a folder of rows, or a folder with an entry for each input."""

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.errors import DataError, PlanError
from pipeline.load import data
from pipeline.progress import Silent

X = np.arange(72, dtype=np.float32).reshape(12, 2, 3)
Y = np.arange(12) % 3


def read(project, source):
    return data.read(
        project.plan(f'[model]\npath = "m.onnx"\n[data]\nevaluation = "{source}"\n'), project.store, Silent()
    ).evaluation


def save(folder, **arrays):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def columns_of(project, rows):
    found = {each.name: frameworks.read_rows(project.store.path(each.artifact)) for each in rows.inputs}
    return found if rows.y is None else {**found, None: frameworks.read_rows(project.store.path(rows.y))}


def test_one_array(empty):
    for array in (X, np.asfortranarray(X), X[:, 0, 0]):
        save(empty.folder, rows=array)
        assert np.array_equal(columns_of(empty, read(empty, "rows.npy"))["x"], array)


def test_a_file_for_each_row_in_natural_order(empty):
    save(empty.folder / "rows", **{f"row{index}": row for index, row in enumerate(X)})
    (empty.folder / "rows" / "README").write_text("not a row")
    (empty.folder / "rows" / ".hidden.npy").write_text("not a row")
    assert columns_of(empty, read(empty, "rows/")).keys() == {"x"}
    save(empty.folder / "rows", labels=Y)
    found = columns_of(empty, read(empty, "rows"))
    assert np.array_equal(found["x"], X)
    assert np.array_equal(found[None], Y)


def test_an_entry_for_each_input(empty):
    folder = empty.folder / "rows"
    save(folder / "a", **{f"{index:03}": row for index, row in enumerate(X)})
    save(folder / "y", **{f"{index}": row for index, row in enumerate(X[:, 0])})
    save(folder, b=Y.astype(np.int8), labels=Y)
    found = columns_of(empty, read(empty, "rows"))
    assert found.keys() == {"a", "y", "b", None}
    assert np.array_equal(found["a"], X)
    assert np.array_equal(found["y"], X[:, 0])
    assert np.array_equal(found["b"], Y)


def test_arrays_as_in_an_archive(empty):
    save(empty.folder / "rows", x=X, y=Y)
    found = columns_of(empty, read(empty, "rows"))
    assert np.array_equal(found["x"], X)
    assert np.array_equal(found[None], Y)


def test_a_row_that_changes_is_read_again(empty):
    save(empty.folder / "rows", **{f"{index}": row for index, row in enumerate(X)})
    first = read(empty, "rows")
    assert read(empty, "rows") == first
    np.save(empty.folder / "rows" / "3.npy", -X[3])
    assert columns_of(empty, read(empty, "rows"))["x"][3].tolist() == (-X[3]).tolist()


def test_what_is_wrong_with_a_folder(empty):
    folder = empty.folder / "rows"
    folder.mkdir()
    with pytest.raises(DataError, match=r"data\.evaluation: the folder .*rows has no \.npy files"):
        read(empty, "rows")
    save(folder, labels=Y)
    with pytest.raises(DataError, match=r"the folder .*rows has no \.npy files"):
        read(empty, "rows")
    (folder / "a").mkdir()
    with pytest.raises(DataError, match=r"the folder .*a has no \.npy files"):
        read(empty, "rows")
    save(folder / "a", **{"0": X[0], "1": X[1, :1]})
    with pytest.raises(DataError, match=r"1\.npy is float32 of shape \(1, 3\), and 0\.npy is float32 of \(2, 3\)"):
        read(empty, "rows")
    save(folder / "a", **{"1": X[1]})
    with pytest.raises(DataError, match="has 2 rows but 12 labels"):
        read(empty, "rows")
    (folder / "a" / "1.npy").write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(DataError, match=r"1\.npy cannot be read as \.npy"):
        read(empty, "rows")
    np.save(folder / "a" / "1.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"1\.npy cannot be read as \.npy: 1\.npy holds Python objects"):
        read(empty, "rows")
    with pytest.raises(PlanError, match=r"there is no file .*gone\.npy"):
        read(empty, "gone.npy")
    with pytest.raises(PlanError, match=r"'gone/' is neither an \.npz file nor a function") as caught:
        read(empty, "gone/")
    assert "a folder of .npy files" in caught.value.hint


def test_rows_without_a_value_are_counted_before_they_are_read(empty):
    head = {"descr": "<f4", "fortran_order": False, "shape": (2**50, 0)}
    with (empty.folder / "rows.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, head)
    with pytest.raises(DataError, match=r"rows.npy says that it has 1,125,899,906,842,624 rows, and there is no value"):
        read(empty, "rows.npy")
