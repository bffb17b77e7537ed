"""[task] preprocess and postprocess, and metrics of the user's own: what they get, and what is said where they are wrong."""

import numpy as np
import pytest

from pipeline import load, plan
from pipeline.errors import DataError, PlanError
from pipeline.progress import Silent
from pipeline.store import Store
from tests.support.task_models import WEIGHTS, X, labels_of, write_model

pytestmark = pytest.mark.frameworks


def loaded(folder, task, code, **rows):
    write_model(folder / "model.onnx", WEIGHTS)
    np.savez(folder / "rows.npz", **{"x": X, "y": labels_of("regression")} | rows)
    (folder / "own.py").write_text(code)
    text = f'[model]\npath = "model.onnx"\n[data]\nevaluation = "rows.npz"\ncalibration = "rows2.npz"\n[task]\n{task}\n'
    np.savez(folder / "rows2.npz", x=X[::-1] + 1)
    (folder / "edge.toml").write_text(text)
    return load.load(plan.read(folder / "edge.toml"), Store(folder / "state"), Silent())[0]


def test_rows_of_every_set_are_preprocessed_and_labels_are_not(tmp_path):
    code = "def f(rows):\n    return {'x': rows['x'] * 2}\n"
    found = loaded(tmp_path, 'kind = "regression"\npreprocess = "own:f"', code)
    read = lambda rows: np.load(Store(tmp_path / "state").path(rows.inputs[0].artifact))  # noqa: E731
    assert np.array_equal(read(found.data.evaluation), X * 2)
    assert np.array_equal(read(found.data.calibration), (X[::-1] + 1) * 2)
    assert found.model.qualities[0].value == pytest.approx(
        np.abs(2 * X @ WEIGHTS - labels_of("regression")).mean(), rel=1e-4
    )
    again = loaded(tmp_path, 'kind = "regression"\npreprocess = "own:f"', code.replace("2", "3"))
    assert np.array_equal(read(again.data.evaluation), X * 3)
    plain = loaded(tmp_path, 'preprocess = "own:f"', code, y=np.arange(80) % 3)
    assert plain.model.accuracy_ratio is not None


def test_a_kind_is_judged_by_what_postprocess_gives(tmp_path):
    code = "def f(outputs):\n    assert list(outputs) == ['y']\n    return {'scores': -outputs['y'], 'more': outputs['y']}\n"
    task = 'kind = "classification"\noutput = "{}"\npostprocess = "own:f"'
    right, wrong = (
        loaded(tmp_path, task.format(name), code, y=labels_of("classification")) for name in ("more", "scores")
    )
    assert right.model.qualities[0].value > 0.8
    assert wrong.model.qualities[0].value < 0.2
    assert not right.model.classes
    with pytest.raises(DataError, match=r"the task's output is 'y', and the outputs are scores, more"):
        loaded(tmp_path, task.format("y"), code, y=labels_of("classification"))


CUSTOM = 'kind = "custom"\nmetric = "own:f"\nhigher_is_better = true'


@pytest.mark.parametrize(
    ("task", "body", "words"),
    [
        (CUSTOM, "return 1 / 0", r"task\.metric: own:f raised ZeroDivisionError: division by zero \(own\.py, line 4\)"),
        (CUSTOM, "raise SystemExit(3)", r"own:f raised SystemExit: 3 \(own\.py, line 4\)"),
        (CUSTOM, "return float('nan')", r"own:f returned nan$"),
        (CUSTOM, "return {'a': 1, 'b': np.inf}", r"own:f returned inf for 'b'"),
        (CUSTOM, "return np.random.default_rng().random()", r"own:f gave 0\.\d+, and for the same rows 0\.\d+"),
        (CUSTOM, "return None", r"own:f returned nothing \(None\), not a number"),
        (CUSTOM, "return {}", r"own:f returned an object of type dict of 0"),
        (CUSTOM, "return a[0]['y']", r"own:f returned an object of type ndarray, not a number"),
        (CUSTOM, "a[0]['y'][:] = 0", r"own:f raised ValueError: assignment destination is read-only"),
        ('kind = "regression"\npostprocess = "own:f"', "return a[0]['y']", r"task\.postprocess: own:f returned an object of type ndarray"),
        ('kind = "regression"\npostprocess = "own:f"', "return {'y': a[0]['y'][:3]}", r"gave 'y' as float32 of shape \(3, 3\) for 80 rows"),
        ('kind = "regression"\npreprocess = "own:f"', "return a[0]['z']", r"task\.preprocess: own:f raised KeyError: 'z' \(own\.py, line 4\) \(data\.evaluation\)"),
        ('kind = "regression"\npreprocess = "own:f"', "return {'x': np.full((len(a[0]['x']), 6), np.nan)}", r"data\.evaluation: 80 of 80 rows hold NaN"),
    ],
)  # fmt: skip
def test_what_a_function_does_wrong_is_said(tmp_path, task, body, words):
    with pytest.raises(DataError, match=words) as raised:
        loaded(tmp_path, task, f"import numpy as np\n\ndef f(*a):\n    {body}\n")
    assert raised.value.hint


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ('kind = "custom"', r"task\.metric: the plan does not say which function judges"),
        ('kind = "custom"\nmetric = "own:f"', r"task\.higher_is_better: nothing says whether a larger number of own:f"),
        ('kind = "custom"\nmetric = "mae"', r"task\.metric: 'mae' is not a function"),
        ('kind = "custom"\nmetric = "other:f"', r"task\.metric: there is no other\.py"),
        (CUSTOM.replace(":f", ":g"), r"task\.metric: own\.py has no function 'g'"),
        (CUSTOM + '\noutput = "y"', r"task\.output: the metric gets all outputs"),
        ('postprocess = "own:f"', r"task\.postprocess: the plan does not say of which kind"),
        ('preprocess = "own"', r"task\.preprocess: 'own' is not a function"),
        ('kind = "regression"\nhigher_is_better = true', r"task\.higher_is_better: regression has no use for it"),
    ],
)  # fmt: skip
def test_what_the_plan_lacks_is_said(tmp_path, task, words):
    with pytest.raises(PlanError, match=words):
        loaded(tmp_path, task, "def f(*a):\n    return 1\n")
