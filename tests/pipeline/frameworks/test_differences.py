"""How far answers are apart, where some of them are NaN or infinite."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline import frameworks
from pipeline.errors import StageError
from pipeline.frameworks import differences

INFINITY, NAN = np.inf, np.nan
ROWS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 3)),
    elements=st.floats(width=32, min_value=-1e6, max_value=1e6),
)


@pytest.mark.parametrize(
    ("ours", "theirs", "apart"),
    [
        (NAN, NAN, 0), (INFINITY, INFINITY, 0), (-INFINITY, -INFINITY, 0), (INFINITY, -INFINITY, INFINITY),
        (NAN, INFINITY, INFINITY), (NAN, 1, INFINITY), (1, -INFINITY, INFINITY), (3, 1, 2),
    ],
)  # fmt: skip
def test_one_that_is_no_number_is_infinitely_far_from_another(ours, theirs, apart):
    found = frameworks.difference(np.array([[ours, 1]], np.float32), np.array([[theirs, 1]], np.float64))
    assert found.tolist() == [[apart, 0]]
    error, _ = frameworks.error_of(np.array([[ours]]), np.array([[theirs]]))
    assert error == apart


@given(ROWS, st.data())
def test_where_both_are_nan_the_error_is_that_of_the_others(source, data):
    at = data.draw(arrays.arrays(np.bool_, source.shape))
    ours, theirs = (np.where(at, np.float32(NAN), each) for each in (source + np.float32(0.5), source))
    numbers = (source + np.float32(0.5)).astype(np.float64) - source
    error, _ = frameworks.error_of(ours, theirs)
    assert error == pytest.approx(np.sqrt(np.where(at, 0, numbers**2).mean()))
    frameworks.check_finite(ours, "m", source=theirs)


def test_types_of_another_size_are_compared_row_by_row(monkeypatch):
    """The chunks of an array depended on the size of its own numbers."""
    monkeypatch.setattr(differences, "CHUNK_BYTES", 64)
    source = np.random.default_rng(0).normal(size=(50, 3))
    error, spread = frameworks.error_of(source.astype(np.float32) + np.float32(0.25), source)
    assert error == pytest.approx(0.25, rel=1e-5)
    assert spread == pytest.approx(np.sqrt(source.var(axis=0).mean()))


def test_what_is_not_finite_is_refused_unless_the_source_is_so_there():
    source = np.array([[1, 2], [-INFINITY, 3]], np.float32)
    with pytest.raises(StageError, match="m answers NaN or infinity for 1 of 2 rows in the output 'y'"):
        frameworks.check_finite(source, "m", "y")
    with pytest.raises(StageError, match="m answers NaN or infinity for 1 of 2 rows"):
        frameworks.check_finite(source, "m", source=np.ones((2, 2), np.float32))
    with pytest.raises(StageError, match="in other places than its source, in 1 of 2 rows") as caught:
        frameworks.check_finite(np.array([[1, 2], [-128, 3]], np.int8), "m", source=source)
    assert "8 bits" in caught.value.hint
    frameworks.check_finite(source.astype(np.float64), "m", source=source)
