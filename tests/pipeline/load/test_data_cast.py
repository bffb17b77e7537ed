"""Casting a column of the store: values arrive, and those that the other type cannot hold are told."""

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.errors import DataError
from pipeline.load import data
from pipeline.records import Column


def column_of(store, array, **more):
    artifact = store.put_parts(lambda: frameworks.array_parts(array), "npy")
    return Column(**{"name": "x", "artifact": artifact, "shape": array.shape[1:], "dtype": array.dtype.name} | more)


def test_values_arrive(store):
    rows = np.random.default_rng(0).normal(size=(20_000, 3))
    column = column_of(store, rows, name="a", constant=True)
    found = data.cast_column(column, "float32", store, "data.training")
    assert (found.name, found.shape, found.dtype, found.constant) == ("a", (3,), "float32", True)
    assert np.array_equal(np.load(store.path(found.artifact)), rows.astype(np.float32))
    assert found.artifact == column_of(store, rows.astype(np.float32)).artifact
    assert data.cast_column(found, "float32", store, "data.training") is found
    assert not list(store.tmp.iterdir())


def test_integers_and_rows_of_one_value(store):
    found = data.cast_column(column_of(store, np.arange(5)), "int8", store, "data.training")
    assert (found.shape, found.dtype) == ((), "int8")
    assert np.load(store.path(found.artifact)).tolist() == [0, 1, 2, 3, 4]


def test_doubles_that_are_too_large_for_a_float(store):
    rows = np.ones((4, 3))
    rows[2, 1] = 1e300
    with pytest.raises(DataError, match=r"1 of 4 rows hold numbers beyond float32.*the first is row 2") as caught:
        data.cast_column(column_of(store, rows), "float32", store, "data.training")
    assert "Scale them" in caught.value.hint
    assert not list(store.tmp.iterdir())


def test_integers_that_do_not_fit(store):
    with pytest.raises(
        DataError, match=r"2 of 4 rows hold numbers that int8.* cannot hold; the first is row 1"
    ) as caught:
        data.cast_column(column_of(store, np.array([0, 300, 2, -900]), name="ids"), "int8", store, "data.training")
    assert "'ids'" in caught.value.hint
