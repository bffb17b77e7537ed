"""[data] from what gives rows one by one: each row arrives once and in order, and what goes wrong is one sentence."""

import importlib
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.errors import ChildError, DataError
from pipeline.load import data, data_function
from pipeline.load.data_stage import Stage
from pipeline.progress import Silent

MODEL = '[model]\npath = "m.tflite"\n'
X = "X = np.arange(60, dtype=np.float32).reshape(10, 2, 3)\nY = np.arange(10) % 4\n"


def read(project, code, more="", **sources):
    (project.folder / "mine.py").write_text(f"import itertools\nimport numpy as np\n{X}{code}")
    lines = "".join(f'{name} = "mine:{function}"\n' for name, function in (sources or {"evaluation": "rows"}).items())
    return data.read(project.plan(f"{MODEL}[data]\n{lines}{more}"), project.store, Silent())


def columns_of(project, rows):
    found = {each.name: frameworks.read_rows(project.store.path(each.artifact)) for each in rows.inputs}
    return found if rows.y is None else {**found, None: frameworks.read_rows(project.store.path(rows.y))}


XS, YS = np.arange(60, dtype=np.float32).reshape(10, 2, 3), np.arange(10) % 4
ONE_OF_EACH = {
    "rows": ("def rows():\n    yield from X\n", {"x": XS}),
    "rows and labels": ("def rows():\n    return zip(X, Y)\n", {"x": XS, None: YS}),
    "labels of one axis": ("def rows():\n    return zip(X, Y[:, None])\n", {"x": XS, None: YS}),
    "as tf.lite takes them": ("def rows():\n    for x in X:\n        yield [x[None]]\n", {"x": XS[:, None]}),
    "batches with labels": ("def rows():\n    return ((X[k:k+4], Y[k:k+4]) for k in range(0, 10, 4))\n", {"x": XS, None: YS}),
    "dicts": ("def rows():\n    for x in X:\n        yield {'a': x[0], 'b': x[0, 0]}\n", {"a": XS[:, 0], "b": XS[:, 0, 0]}),
    "dicts and labels": ("def rows():\n    for x, y in zip(X, Y):\n        yield {'a': x}, y\n", {"a": XS, None: YS}),
    "labels in the dict": ("def rows():\n    for x, y in zip(X, Y):\n        yield dict(a=x, labels=y)\n", {"a": XS, None: YS}),
    "y in the dict": ("def rows():\n    for x, y in zip(X, Y):\n        yield dict(a=x, y=y)\n", {"a": XS, None: YS}),
    "y that is an input": ("def rows():\n    for x in X:\n        yield dict(x=x[0], y=x[1])\n", {"x": XS[:, 0], "y": XS[:, 1]}),
    "one buffer": ("def rows():\n    one = np.empty((2, 3), 'f4')\n    for x in X:\n        one[:] = x\n        yield one\n", {"x": XS}),
    "numbers": ("def rows():\n    yield from ([0.5, 1], [2, 3.5])\n", {"x": np.array([[0.5, 1], [2, 3.5]])}),
    "a list of rows": ("def rows():\n    return list(X)\n", {"x": XS}),
    "a list of pairs": ("def rows():\n    return list(zip(X, Y))\n", {"x": XS, None: YS}),
    "two pairs": ("def rows():\n    return list(zip(X, Y))[:2]\n", {"x": XS[:2], None: YS[:2]}),
    "a list of dicts": ("def rows():\n    return [{'a': x} for x in X]\n", {"a": XS}),
    "a dict of arrays": ("def rows():\n    return {'a': X, 'b': Y.astype('f2')}\n", {"a": XS, "b": YS.astype("f2")}),
    "a dict of arrays, and labels": ("def rows():\n    return {'a': X, 'y': Y}, Y\n", {"a": XS, "y": YS, None: YS}),
    "integers": ("def rows():\n    yield from Y.astype('u1')\n", {"x": YS.astype("u1")}),
    "by index": (
        ("class Own:\n    def __len__(self):\n        return 10\n    def __getitem__(self, k):\n        return X[k], Y[k]\n"
        "def rows():\n    return Own()\n"),
        {"x": XS, None: YS},
    ),
    "batches by index": (
        ("class Own:\n    num_batches = 5\n    def __getitem__(self, k):\n        return X[2*k:2*k+2]\n"
        "def rows():\n    return Own()\n"),
        {"x": XS},
    ),
    "a loader": (
        ("class Own:\n    batch_size = 4\n    def __iter__(self):\n        return (X[k:k+4] for k in range(0, 10, 4))\n"
        "    def __len__(self):\n        return 3\ndef rows():\n    return Own()\n"),
        {"x": XS},
    ),
}  # fmt: skip


@pytest.fixture
def staged(tmp_path, monkeypatch):
    """staged(code, function) takes the rows of a function, in this process: a child each would take most of the time."""
    (tmp_path / "stage").mkdir()
    stage = Stage(tmp_path / "stage", "data.evaluation", str)

    def take(code, function="rows"):
        (tmp_path / "mine.py").write_text(f"import itertools\nimport numpy as np\n{X}{code}")
        monkeypatch.delitem(sys.modules, "mine", raising=False)
        importlib.invalidate_caches()
        return data_function.staged(f"mine:{function}", "data.evaluation", tmp_path, stage)

    return take


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_what_gives_rows(kind, staged):
    code, expected = ONE_OF_EACH[kind]
    columns, labels, *_ = staged(code)
    found = {name: np.load(each.path) for name, each in columns.items()}
    found |= {} if labels is None else {None: np.load(labels.path)}
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


def test_a_copy_of_an_array_and_of_its_rows_is_the_same_file(empty):
    whole = read(empty, "def rows():\n    return X, Y\n").evaluation
    assert read(empty, "def rows():\n    return zip(X, Y)\n").evaluation == whole


def test_more_rows_than_are_held_at_once(empty):
    code = "def rows():\n    return ((np.full(3, k, np.int16), k % 7) for k in range(20_000))\n"
    found = columns_of(empty, read(empty, code).evaluation)
    assert np.array_equal(found["x"], np.repeat(np.arange(20_000, dtype=np.int16)[:, None], 3, axis=1))
    assert np.array_equal(found[None], np.arange(20_000) % 7)


def test_evaluation_rows_are_left_out_of_what_gives_rows(empty):
    code = (
        "def ev():\n    return {'a': X[:4].astype('f8'), 'b': Y[:4]}\n"
        "def cal():\n    for x, y in zip(X[2:], Y[2:]):\n        yield {'b': y, 'a': x[None]}, y + 1\n"
    )
    found = read(empty, code, evaluation="ev", calibration="cal").calibration
    assert (found.rows, found.dropped_rows) == (6, 2)
    assert [(each.name, each.shape) for each in found.inputs] == [("b", ()), ("a", (1, 2, 3))]
    kept = columns_of(empty, found)
    assert np.array_equal(kept["a"][:, 0], XS[4:])
    assert np.array_equal(kept["b"], YS[4:])
    assert np.array_equal(kept[None], YS[4:] + 1)


def test_a_row_that_is_equal_in_one_input_only_is_another_row(empty):
    code = (
        "def ev():\n    return {'a': X, 'b': Y}\ndef cal():\n    return {'a': X, 'b': Y + 1}\n"
        "def other():\n    return {'a': X, 'c': Y}\n"
    )
    assert read(empty, code, evaluation="ev", calibration="cal").calibration.dropped_rows == 0
    assert read(empty, code, evaluation="ev", calibration="other").calibration.dropped_rows == 0


GENERATOR_OF = "ready = (x for x in X)\ndef rows():\n    return ready\ndef again():\n    return ready\n"


def test_an_iterator_that_was_used_up(empty):
    """It gives its rows to the first who asks; the copy in the store is what all steps read."""
    assert read(empty, GENERATOR_OF).evaluation.rows == 10
    with pytest.raises(DataError, match=r"data\.calibration gave no rows") as caught:
        read(empty, GENERATOR_OF, evaluation="rows", calibration="again")
    assert "let the function make it" in caught.value.hint


WRONG = {
    "nothing": ("return iter(())", "gave no rows", "used up"),
    "fails at once": ("yield 1 / 0", "rows failed: ZeroDivisionError", "in that module"),
    "fails later": ("yield from X\n    raise ValueError('torn')", "rows failed after 10 rows: ValueError: torn", "in that module"),
    "other shapes": ("yield from (X[0], X[1], X[2, :1])", "row 2 of x has shape (1, 3), and the rows before it (2, 3)", "cut or pad"),
    "other types": ("yield from (Y[0], 0.5)", "row 1 of x is float64, and the rows before it int64", "astype"),
    "a name less": ("yield from ({'a': 1, 'b': 2}, {'a': 1})", "row 1 lacks 'b'", "the same inputs"),
    "a name more": ("yield from ({'a': 1}, {'a': 1, 'b': 2})", "row 1 has 'b'", "the same inputs"),
    "no label": ("yield from ((X[0], 1), X[1])", "row 1 lacks labels", "the same inputs"),
    "text": ("yield 'on'", "x is of dtype <U2, not numbers", "TextVectorization"),
    "objects": ("yield object()", "row 0 of mine:rows is object, which cannot be made into an array", "Give x, (x, y)"),
    "ragged": ("yield [[1, 2], [3]]", "row 0 of mine:rows is list, which cannot be made", "Give x, (x, y)"),
    "None": ("yield X[0]\n    yield None", "row 1 of mine:rows is NoneType", "Give x, (x, y)"),
    "three": ("yield X[0], 1, 0.5", "mine:rows gave 3 values together", "weights"),
    "an empty dict": ("yield {}", "mine:rows gave an empty dict", "Give x, (x, y)"),
    "masked": ("yield np.ma.masked_less(X[0], 3)", "row 0 of mine:rows is a masked array", "filled"),
    "not finite": ("yield from (X[0], X[1] / np.float32(np.nan))", "1 of 2 rows hold NaN or infinity, the first is row 1", "repair"),
    "labels of floats": ("yield X[0], 0.5", "the labels are float64 of shape (1,), not one integer", "regression"),
    "not quite one-hot": ("yield X[0], 2 * np.eye(4)[1]", "the labels are float64 of shape (1, 4)", "[task] kind"),
    "an error without words": ("yield X[0]\n    raise KeyboardInterrupt", "mine:rows failed after 1 row: KeyboardInterrupt", "that module"),
    "text labels": ("yield X[0], 'cat'", "the labels are <U3 of shape (1,)", "leave y out"),
    "labels alone": ("yield {'labels': 1}", "has no array named x, only labels", "names of the model's inputs"),
    "a row for a batch": ("return type('D', (), dict(num_batches=1, __getitem__=lambda self, k: (X[0], Y[:1])))()",
                          "a batch of mine:rows has different numbers of rows (x: (2, 3), the labels: (1,))", "dataset.batch(32)"),
    "without an end": ("return type('D', (), dict(num_batches=None, __getitem__=0))()", "says that it has no end", "take(100)"),
    "a length that fails": ("return type('D', (), dict(num_batches=property(lambda self: 1 / 0), __getitem__=0))()", "rows failed: ZeroDivisionError", "that module"),
    "ends early": ("return type('D', (), dict(num_batches=7, __getitem__=lambda self, k: [X[:2]][k]))()",
                   "mine:rows gave 1 batch, and its length says 7", "__len__"),
    "ends late": ("return type('D', (), dict(__len__=lambda self: 7, __iter__=lambda self: iter(X)))()",
                  "mine:rows gave 10 rows, and its length says 7", "__len__"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_with_rows(kind, staged):
    body, says, hint = WRONG[kind]
    with pytest.raises(DataError) as caught:
        staged(f"def rows():\n    {body}\n")
    assert says in caught.value.message
    assert caught.value.message.startswith("data.evaluation")
    assert not caught.value.message.endswith(": ")
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_rows_without_an_end_stop_at_the_limit_of_time(empty):
    with pytest.raises(
        ChildError, match=r"longer than 3 s; its last news: reading evaluation rows: [\d,]+ rows so far"
    ):
        read(empty, "def rows():\n    return itertools.repeat(X)\n", "[host]\nminutes = 0.05\n")
    assert not list(empty.store.tmp.iterdir())


def test_rows_without_an_end_stop_before_the_disk_is_full(staged, monkeypatch):
    """The disk is a made-up one, that each look at finds 20 MiB fuller."""
    left = iter(range(300, 0, -20))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=next(left) << 20))
    with pytest.raises(
        DataError, match=r"has given \d+ rows \(\d+ MiB\) and not ended, and the disk of .* 240 MiB left"
    ):
        staged("def rows():\n    return itertools.repeat(np.zeros((1024, 1024), np.float32))\n")


FRAMEWORKS = """
def dataset(): # batches, as model.fit takes them
    import tensorflow as tf
    return tf.data.Dataset.from_tensor_slices(X).batch(4)
def labelled():
    import tensorflow as tf
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).prefetch(1)
def single():
    import tensorflow as tf
    return tf.data.Dataset.from_tensor_slices(({"a": X}, Y))
def endless():
    return dataset().repeat()
def tensor():
    import tensorflow as tf
    return tf.constant(X), tf.constant(Y)
def keras_data():
    import keras
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3
        def __getitem__(self, k):
            return X[4 * k:4 * k + 4], Y[4 * k:4 * k + 4]
    return Batches()
"""


@pytest.mark.parametrize("function", ["dataset", "labelled", "single", "tensor", "keras_data", "endless"])
def test_what_keras_and_tensorflow_give(function, staged):
    if function == "endless":
        with pytest.raises(DataError, match="returned a dataset that says that it has no end"):
            staged(FRAMEWORKS, function)
        return
    columns, labels, *_ = staged(FRAMEWORKS, function)
    ((name, column),) = columns.items()
    assert name == ("a" if function == "single" else "x")
    assert np.array_equal(np.load(column.path), XS)
    assert (labels is None) == (function == "dataset")
    assert labels is None or np.array_equal(np.load(labels.path), YS)


def test_more_rows_than_memory(empty):
    """200 MB of rows, 400 MB in an archive with an array in Fortran's order: by a process that may have 150 MB, which without rows has 60."""
    np.savez(
        empty.folder / "cal.npz",
        x=np.zeros((200, 250_000), np.float32),
        z=np.asfortranarray(np.ones((200, 250_000), "f4")),
    )
    (empty.folder / "big.py").write_text(
        "import numpy as np\ndef rows():\n    for k in range(200):\n        yield {'x': np.full(250_000, k, np.float32), 'z': np.ones(3)}, k\n"
    )
    plan = empty.plan(
        f'{MODEL}[data]\nevaluation = "big:rows"\ncalibration = "cal.npz"\n[host]\nmemory_bytes = {150 * 10**6}\n'
    )
    found = data.read(plan, empty.store, Silent())
    assert (found.evaluation.rows, found.calibration.rows) == (200, 200)
    answers = [json.loads(path.read_text()) for path in (empty.store.root / "answers").glob("rows-*.json")]
    assert len(answers) == 2


NAMED = """
def labels(i):
    return {"kind": i % 3, "size": np.float32([i / 2])}
def rows():
    for i in range(10):
        yield X[i], labels(i), float(i)
def whole():
    return X, {"kind": np.arange(10) % 3, "size": np.arange(10, dtype="f4")[:, None] / 2}, np.arange(10.0)
def batches():
    import tensorflow as tf
    return tf.data.Dataset.from_tensor_slices(whole()).batch(4)
"""


@pytest.mark.parametrize("function", ["rows", "whole", pytest.param("batches", marks=pytest.mark.frameworks)])
def test_training_rows_have_labels_by_the_names_of_outputs_and_weights(empty, function):
    found = read(empty, NAMED, training=function, more='[[compress]]\npass = "recover"\n').training
    assert [each.name for each in found.inputs] == ["x"]
    named = {each.name: frameworks.read_rows(empty.store.path(each.artifact)) for each in found.named}
    assert np.array_equal(named["kind"], np.arange(10) % 3)
    assert np.array_equal(named["size"], np.arange(10, dtype=np.float32)[:, None] / 2)
    assert np.array_equal(frameworks.read_rows(empty.store.path(found.weights)), np.arange(10.0))
    assert found.y is None


def test_only_training_rows_have_weights(empty):
    with pytest.raises(DataError, match="gave 3 values together") as caught:
        read(empty, NAMED)
    assert "only training rows have weights" in caught.value.hint
