"""Files that Keras 2 wrote (tests/models/make_keras2.py), opened in Keras 3: they answer as they did there."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.errors import ModelError
from pipeline.frameworks import keras2, keras2_config

pytestmark = pytest.mark.frameworks
FOLDER = Path(__file__).parents[2] / "models" / "keras2"
NETS = (
    "attention", "convolutions", "functions", "gates", "half", "nested", "prepared", "recurrent", "sequences", "translator", "videos",
)  # fmt: skip
REFUSED = {
    "code": "holds a Lambda layer, 'lambda', which is Python code inside the model file",
    "masked": "was made by Keras 2, and its model 'inner' has no equal in Keras 3: it is given a mask",
    "unknown": r"its TFOpLambda 'tf\.math\.bessel_i0' has no equal in Keras 3: tf\.math\.bessel_i0 is a function of TensorFlow",
}


@pytest.fixture(scope="module")
def answers():
    with np.load(FOLDER / "answers.npz") as file:
        return dict(file)


def rows_and_answers(model, name, answers):
    told = {key.partition("/")[2]: value for key, value in answers.items() if key.startswith(f"{name}/")}
    inputs = len(model.inputs)
    rows = dict(list(told.items())[:inputs])
    return (rows if inputs > 1 else next(iter(rows.values()))), list(told.values())[inputs:]


def check_answers(model, name, answers):
    import keras

    rows, wanted = rows_and_answers(model, name, answers)
    found = [np.asarray(each) for each in keras.tree.flatten(model(rows, training=False))]
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("name", NETS)
def test_it_answers_as_in_keras_2(name, ending, answers):
    model = frameworks.open_keras(FOLDER / f"{name}.{ending}")
    check_answers(model, name, answers)


@pytest.mark.parametrize("name", ["attention", "functions", "gates", "half", "nested", "translator"])
def test_it_is_saved_as_a_keras_3_file(name, answers, tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(frameworks.save_keras(frameworks.open_keras(FOLDER / f"{name}.h5")))
    assert not keras2.is_keras2(path)
    check_answers(frameworks.open_keras(path), name, answers)


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_repaired_is_named(name, ending):
    with pytest.raises(ModelError, match=REFUSED[name]) as caught:
        frameworks.open_keras(FOLDER / f"{name}.{ending}")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [("Conv2DTranspose", "groups", 2), ("LSTM", "time_major", True), ("BatchNormalization", "virtual_batch_size", 4)],
)
def test_a_key_that_matters_is_refused_by_its_name(kind, key, value):
    layer = {"class_name": kind, "config": {"name": "it", "units": 2, key: value}}
    with pytest.raises(ModelError, match=f"its {kind} 'it' has no equal in Keras 3: it has {key}={value}"):
        keras2_config.repaired(layer, "m.h5")


def changed(tmp_path, name, change):
    """The .keras file with another configuration."""
    path = tmp_path / f"{name}.keras"
    with zipfile.ZipFile(FOLDER / f"{name}.keras") as old, zipfile.ZipFile(path, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member == "config.json":
                config = json.loads(content)
                change(config["config"])
                content = json.dumps(config)
            new.writestr(member, content)
    return path


def test_a_layer_of_their_own(tmp_path):
    path = changed(tmp_path, "half", lambda config: config["layers"][1].update(class_name="Mine"))
    with pytest.raises(ModelError, match=r"its Mine 'dense_\d+' has no equal in Keras 3: Keras 3 has no such layer"):
        frameworks.open_keras(path)


def test_layers_of_their_own_that_are_named(answers, monkeypatch):
    import keras

    class Mine(keras.layers.Dense):
        pass

    monkeypatch.setitem(keras.saving.get_custom_objects(), "Dense", Mine)
    model = frameworks.open_keras(FOLDER / "half.keras")
    assert isinstance(model.layers[-1], Mine)
    check_answers(model, "half", answers)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda config: config["layers"][2].update(inbound_nodes=[[["gone", 0, 0, {}]]]), "waits for one that is not there"),
        (lambda config: config["layers"][1]["config"].update(units=9), "the weights of half.keras do not fit its layer"),
        (lambda config: config.pop("input_layers"), "the description of the layers of half.keras cannot be followed"),
        (lambda config: config.update(layers=7), "the description of the layers of half.keras cannot be followed"),
    ],
)  # fmt: skip
def test_a_damaged_description(tmp_path, change, said):
    with pytest.raises(ModelError, match=said):
        frameworks.open_keras(changed(tmp_path, "half", change))


def test_weights_that_are_gone(tmp_path):
    import h5py

    path = tmp_path / "m.h5"
    path.write_bytes((FOLDER / "half.h5").read_bytes())
    with h5py.File(path, "a") as file:
        del file["model_weights"]["y"]
    with pytest.raises(ModelError, match=r"do not fit its layer 'y': 0 weights are stored and 2 needed"):
        frameworks.open_keras(path)


@pytest.mark.parametrize("kind", ["external", "soft", "circle"])
def test_weights_that_lead_elsewhere(tmp_path, kind):
    import h5py

    path = tmp_path / "m.h5"
    path.write_bytes((FOLDER / "half.h5").read_bytes())
    with h5py.File(path, "a") as file:
        group = file["model_weights"]
        del group["y"]
        group["y"] = {
            "external": h5py.ExternalLink(str(FOLDER / "half.h5"), "/model_weights/y"),
            "soft": h5py.SoftLink("/model_weights/x"),
            "circle": group,
        }[kind]
    with pytest.raises(ModelError, match=r"m\.h5: its weights 'y' are a link to another place"):
        frameworks.open_keras(path)


def test_files_of_keras_3_are_left_to_keras(tmp_path):
    import keras

    x = keras.Input((2,), name="x")
    model = keras.Model(x, keras.layers.Dense(1)(x))
    for ending in ("h5", "keras"):
        model.save(tmp_path / f"m.{ending}")
        assert not keras2.is_keras2(tmp_path / f"m.{ending}")
    (tmp_path / "m.zip").write_bytes(b"PK\x03\x04")
    assert not keras2.is_keras2(tmp_path / "m.zip")
    (tmp_path / "n.keras").write_bytes(io.BytesIO(b"\x89HDF\r\n\x1a\n").getvalue())
    assert not keras2.is_keras2(tmp_path / "n.keras")
