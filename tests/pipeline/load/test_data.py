"""[data]: .npz files and functions; every way in which rows can be wrong is one clear sentence."""

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.errors import DataError, EdgepressError, PlanError
from pipeline.load import data
from pipeline.progress import Silent

MODEL = '[model]\npath = "m.tflite"\n'


def read(project, *, more="", **sources):
    text = MODEL + "[data]\n" + more + "".join(f'{name} = "{value}"\n' for name, value in sources.items())
    if "training" in sources:
        text += '[[compress]]\npass = "x"\n'
    return data.read(project.plan(text), project.store, Silent())


def save(project, name, **arrays):
    np.savez(project.folder / name, **arrays)
    return name


def x_of(project, rows):
    (column,) = rows.inputs
    return frameworks.read_rows(project.store.path(column.artifact))


def some(count, start=0):
    return (np.arange(count * 6, dtype=np.float32) + start * 6).reshape(count, 2, 3)


def test_npz_rows_arrive_as_they_are(empty):
    x = some(4).astype(np.float64)
    found = read(empty, evaluation=save(empty, "e.npz", x=x, y=np.array([[0], [1], [2], [1]], np.uint8)))
    rows = found.evaluation
    assert (rows.rows, rows.dropped_rows) == (4, 0)
    assert [(each.name, each.shape, each.dtype) for each in rows.inputs] == [("x", (2, 3), "float64")]
    kept, labels = x_of(empty, rows), frameworks.read_rows(empty.store.path(rows.y))
    assert kept.dtype == np.float64
    assert labels.dtype == np.int64
    assert np.array_equal(kept, x)
    assert labels.tolist() == [0, 1, 2, 1]


def test_integer_rows_keep_their_dtype_and_labels_are_optional(empty):
    rows = read(empty, evaluation=save(empty, "e.npz", x=np.ones((3, 5), np.uint8))).evaluation
    assert rows.y is None
    assert x_of(empty, rows).dtype == np.uint8


def test_a_function_beside_the_plan(empty):
    (empty.folder / "mine.py").write_text(
        "import numpy as np\nimport sibling\n\ndef rows():\n    print('noise')\n    return sibling.X, np.arange(3)\n\n"
        "def bare():\n    return sibling.X\n"
    )
    (empty.folder / "sibling.py").write_text("import numpy as np\nX = np.ones((3, 2), np.float32)\n")
    assert read(empty, evaluation="mine:rows").evaluation.rows == 3
    assert read(empty, evaluation="mine:bare").evaluation.y is None


def test_training_rows_are_not_read_unless_a_pass_trains(empty):
    (empty.folder / "mine.py").write_text("def training():\n    raise SystemExit('read')\n")
    text = MODEL + '[data]\ntraining = "mine:training"\n'
    assert data.read(empty.plan(text), empty.store, Silent()).training is None


def test_rows_of_the_evaluation_set_are_left_out_of_the_others(empty):
    x, y = some(10), np.arange(10)
    found = read(
        empty,
        evaluation=save(empty, "e.npz", x=x[:4], y=y[:4]),
        calibration=save(empty, "c.npz", x=x[2:], y=y[2:]),
        training=save(empty, "t.npz", x=x[4:], y=y[4:]),
    )
    assert (found.calibration.rows, found.calibration.dropped_rows) == (6, 2)
    assert (found.training.rows, found.training.dropped_rows) == (6, 0)
    assert np.array_equal(x_of(empty, found.calibration), x[4:])
    assert frameworks.read_rows(empty.store.path(found.calibration.y)).tolist() == [4, 5, 6, 7, 8, 9]


def test_overlap_is_looked_for_again_when_the_evaluation_rows_change(empty):
    x = some(10)
    save(empty, "c.npz", x=x)
    assert read(empty, evaluation=save(empty, "e.npz", x=x[:2]), calibration="c.npz").calibration.dropped_rows == 2
    assert read(empty, evaluation=save(empty, "e.npz", x=x[:3]), calibration="c.npz").calibration.dropped_rows == 3


def test_overlap_is_found_where_the_only_column_has_two_names(empty):
    """`x` and the name of the model's only input mean the same."""
    x = some(10)
    evaluation = save(empty, "e.npz", x=x[:2])
    assert read(empty, evaluation=evaluation, calibration=save(empty, "c.npz", image=x)).calibration.dropped_rows == 2
    both = save(empty, "c.npz", image=x, other=x)
    assert read(empty, evaluation=evaluation, calibration=both).calibration.dropped_rows == 0


def test_too_much_overlap_is_an_error(empty):
    x = some(10)
    with pytest.raises(DataError, match=r"6 of the 10 rows of data\.calibration are evaluation rows too"):
        read(empty, evaluation=save(empty, "e.npz", x=x[:6]), calibration=save(empty, "c.npz", x=x))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((0, 4), np.float32)}, "data.evaluation is empty"),
        ({"x": np.float32(4)}, "which is not an array of rows of values"),
        (
            {"x": np.array([[1, np.nan], [1, 1], [np.inf, 0]], np.float32)},
            "2 of 3 rows hold NaN or infinity, the first is row 0",
        ),
        ({"x": np.array([["a", "b"]])}, "not numbers"),
        ({"x": np.ones((2, 3)), "y": np.array([0.0, np.nan])}, "labels are float64 of shape"),
        ({"x": np.ones((2, 3)), "labels": 2 * np.eye(2, dtype=int)}, "not one integer for each row"),
        ({"x": np.ones((2, 3)), "y": np.array(["a", "b"])}, "the labels are <U1 of shape"),
        ({"x": np.ones((2, 3)), "y": np.zeros(0, int)}, "has 2 rows but 0 labels"),
        ({"x": np.ones((2, 3)), "y": np.arange(3)}, "has 2 rows but 3 labels"),
        ({"y": np.ones((2, 3))}, "has no array named x, only y"),
        ({"labels": np.ones(2, int)}, "has no array named x, only labels"),
        ({"a": np.ones((2, 3)), "b": np.ones((3, 3))}, "has 2 rows of 'a' but 3 of 'b'"),
        ({"a": np.ones((2, 3)), "b": np.float32(4)}, "b has dtype float32 and shape"),
        ({"a": np.ones((2, 3)), "b": np.array([[1], [np.nan]])}, "1 of 2 rows of 'b' hold NaN or infinity"),
        ({"a": np.ones((2, 3)), "y": np.ones((3, 3))}, "has 2 rows of 'a' but 3 of 'y'"),
        ({"x": np.array([{"a": 1}, None])}, "cannot be read as .npz"),
    ],
)
def test_wrong_rows(empty, arrays, message):
    with pytest.raises(DataError, match=message) as caught:
        read(empty, evaluation=save(empty, "e.npz", **arrays))
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert not list(empty.store.tmp.iterdir())


def test_missing_values_where_the_plan_lets_them_in(empty):
    x = some(4)
    x[1, 0, 0], x[2, 1, 1] = np.nan, np.inf
    name = save(empty, "e.npz", x=x)
    found = read(empty, evaluation=name, more="nonfinite = true\n")
    np.testing.assert_array_equal(x_of(empty, found.evaluation), x)
    with pytest.raises(DataError, match="2 of 4 rows hold NaN or infinity, the first is row 1") as caught:
        read(empty, evaluation=name)  # though it was read before
    assert "[data] nonfinite = true" in caught.value.hint


def test_missing_values_in_an_input_that_is_called_y(empty):
    name = save(empty, "e.npz", x=some(4), y=np.array([[1.0], [np.nan], [2], [3]], np.float32))
    found = read(empty, evaluation=name, more="nonfinite = true\n")
    assert [each.name for each in found.evaluation.inputs] == ["x", "y"]


def test_missing_values_are_let_into_evaluation_rows_alone(empty):
    name = save(empty, "c.npz", x=some(4, 9) + np.nan)
    with pytest.raises(DataError, match=r"data\.calibration: 4 of 4 rows hold NaN or infinity") as caught:
        read(empty, evaluation=save(empty, "e.npz", x=some(4)), calibration=name, more="nonfinite = true\n")
    assert "nonfinite" not in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no zip at all"])
def test_damaged_npz(empty, content):
    (empty.folder / "e.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        read(empty, evaluation="e.npz")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("gone.npz", PlanError, r"data\.evaluation: there is no file .*gone\.npz"),
        ("what is this", PlanError, "neither an .npz file nor a function"),
        ("gone:rows", PlanError, r"there is no gone\.py in"),
        ("rows.npz:x", PlanError, r"there is no rows/npz\.py in"),
        ("mine.py:fails", PlanError, r"there is no mine/py\.py in"),
        ("needy.py:rows", PlanError, r"there is no needy/py\.py in"),
        ("json:loads", PlanError, r"there is no json\.py in"),
        ("mine:gone", PlanError, r"mine\.py has no function 'gone'"),
        ("mine:fails", DataError, r"mine:fails failed: ZeroDivisionError: division by zero"),
        ("broken:rows", PlanError, r"broken:rows failed: SyntaxError"),
        ("needy:rows", PlanError, r"needy:rows failed: ModuleNotFoundError: No module named 'not_there'"),
    ],
)
def test_wrong_sources(empty, source, error, message):
    (empty.folder / "mine.py").write_text("def fails():\n    return 1 / 0\n")
    (empty.folder / "broken.py").write_text("def rows(:\n")
    (empty.folder / "needy.py").write_text("import not_there\n")
    with pytest.raises(error, match=message) as caught:
        read(empty, evaluation=source)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        (np.array([0.0, 1.0]), "y.astype('int64')"),
        (np.array([False, True]), "y.astype('int64')"),
        (np.eye(2) + 1, "leave y out"),
        (np.array([0.5, 1.0]), '"regression"'),
        (np.array([[0.5, 2], [1, 7]]), '"regression"'),
        (np.array([[1, 1, 0], [0, 0, 0]]), '"multilabel"'),
        (np.zeros((2, 3, 3), int), '"segmentation"'),
        (np.zeros((2, 3, 3)) + 0.5, "[task] kind"),
    ],
)
def test_labels_of_another_kind(empty, labels, hint):
    (empty.folder / "mine.py").write_text(
        f"import numpy as np\nfrom numpy import array, nan\n\ndef rows():\n    return np.ones((2, 3)), {labels!r}\n"
    )
    with pytest.raises(DataError, match="not one integer for each row") as caught:
        read(empty, evaluation="mine:rows")
    assert hint in caught.value.hint


@pytest.mark.parametrize("pair", ["return x, x + 0.5", "return [x, x]", "return x, x[:, 0]", "yield x[0], x[1]"])
def test_two_inputs_are_no_rows_and_labels(empty, pair):
    """TFLite's representative_dataset gives inputs by their order, which is not that of the file."""
    (empty.folder / "mine.py").write_text(
        f"import numpy as np\nx = np.arange(12, dtype=np.float32).reshape(4, 3)\n\ndef rows():\n    {pair}\n"
    )
    with pytest.raises(DataError, match="not one integer for each row") as caught:
        read(empty, evaluation="mine:rows")
    assert "second input: give all rows by the names of the inputs" in caught.value.hint


def test_the_ending_of_a_module_is_left_out(empty):
    with pytest.raises(PlanError) as caught:
        read(empty, evaluation="gone.py:rows")
    assert caught.value.hint.startswith("Write the module without its ending: gone:rows.")


def test_an_ending_in_capitals(empty):
    (empty.folder / save(empty, "e.npz", x=some(3))).rename(empty.folder / "E.NPZ")
    assert read(empty, evaluation="E.NPZ").evaluation.rows == 3


def test_text_rows(empty):
    with pytest.raises(DataError, match="not numbers") as caught:
        read(empty, evaluation=save(empty, "e.npz", x=np.array([["on"], ["off"]])))
    assert "after its TextVectorization" in caught.value.hint


@pytest.mark.parametrize(
    ("body", "says", "hint"),
    [
        ("return Batches()", "gave no rows", "used up"),
        ("return (each for each in 'ab'), np.ones(2)", "returned a generator", "one array"),
        ("return object()", "returned an object of type object", "one array"),
        ("return Refuses()", "which cannot be made into an array: not mine", "an array of rows"),
        ("raise KeyboardInterrupt('enough')", "rows failed: KeyboardInterrupt: enough", "in that module"),
        ("raise MemoryError", "rows failed: MemoryError", "in that module"),
        ("raise ValueError('x' * 10**6)", "rows failed: ValueError: xxx", "in that module"),
        ("return rows()", "rows failed: RecursionError", "in that module"),
        ("os._exit(7)", "its process ended with exit code 7", "calls os._exit"),
        ("os._exit(0)", "its process ended with exit code 0", "calls os._exit"),
        ("return None", "rows returned nothing (None)", "return x, y"),
        ("return {}", "returned an empty dict", "for each input"),
        ("return []", "is empty: mine:rows returned an empty list", "Return rows"),
        ("return {'x': None}", "returned nothing (None)", "return x, y"),
        ("return {'a': np.ones(2), 'b': None}", "returned nothing (None) for 'b'", "return x, y"),
        ("return {'y': np.ones(2)}", "has no array named x, only y", "names of the model's inputs"),
        ("return np.ones((3, 2)), ['a', 'b', 'c']", "the labels are <U1 of shape (3,)", "leave y out"),
        ("return Leaves()", "which cannot be made into an array: 3", "an array of rows"),
        ("raise Mute", "rows failed: Mute: <exception str() failed>", "in that module"),
        ("return np.zeros((3, 2), 'M8[s]')", "x is of dtype datetime64[s], not numbers", "float32"),
        ("return np.ones((0, 3))", "is empty: its x has shape (0, 3)", "at least one row"),
        ("return np.ones((3, 2)), np.full(3, 2**63, 'u8')", "its largest label is 9223372036854775808", "from 0"),
    ],
)
def test_what_functions_return_and_raise(empty, body, says, hint):
    (empty.folder / "mine.py").write_text(
        "import os\nimport numpy as np\n\nclass Batches:\n    def as_numpy_iterator(self):\n        return iter([])\n\n"
        "class Refuses:\n    def __array__(self, *_, **__):\n        raise KeyError('not mine')\n\n"
        "class Leaves:\n    def __array__(self, *_, **__):\n        raise SystemExit(3)\n\n"
        "class Mute(Exception):\n    def __str__(self):\n        return str(1 / 0)\n\n"
        f"def rows():\n    {body}\n"
    )
    with pytest.raises(EdgepressError) as caught:
        read(empty, evaluation="mine:rows")
    assert caught.value.exit_code == 2 or "code 7" in says
    assert says in caught.value.message.replace("'not mine'", "not mine")
    assert hint in caught.value.hint
    assert len(caught.value.message) < 500
