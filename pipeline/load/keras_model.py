"""Load a Keras model (.keras or .h5)."""

from pathlib import Path

import msgspec

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.frameworks import custom_objects, keras_signature, saved_model_archive
from pipeline.frameworks.keras2_config import BeyondKeras3Error
from pipeline.load import answers, not_a_model, saved_model
from pipeline.load.request import Request
from pipeline.records import Loaded, Model
from pipeline.safe_text import shortened
from pipeline.store import Store

FORMAT = "keras"
CRASHED = "Does keras.models.load_model open it? If not, it is damaged: save it again from the program that made it."


def check(data: bytes, name: str) -> None:
    """Refuse bytes that cannot be a Keras file."""
    if data[:4] != b"PK\x03\x04" and data[:8] != b"\x89HDF\r\n\x1a\n":
        why = "it is neither a zip archive (.keras) nor an HDF5 file (.h5)"
        raise not_a_model.error(data, name, "a Keras model", why, "Write it with model.save('model.keras').")


def readable(name: str) -> bool:
    """Refuse a Keras model on a host that cannot open it."""
    frameworks.need("tensorflow", f"loading {name}")
    return True


def read(argument: Request, tell: Tell) -> Loaded:
    """Open it, look at every weight, and let it answer the evaluation rows. Runs in a child."""
    store = argument.store()
    tell(0, 0, f"loading {argument.name}")
    path = store.path(argument.artifact)
    custom_objects.register(argument.custom_objects, Path(argument.folder))
    try:
        model = frameworks.open_keras(path, argument.name)
    except BeyondKeras3Error as error:
        if not frameworks.available("legacy"):
            raise
        return _through_tf_keras(argument, error, store, tell)
    frameworks.check_weights(model, argument.name)
    artifact = argument.artifact
    if path.open("rb").read(2) != b"PK":  # from here on there is one Keras format
        artifact = store.put_bytes(frameworks.save_keras(model), FORMAT)
    record = Model(
        name=argument.name.rpartition(".")[0],
        artifact=artifact,
        inputs=(),
        outputs=(),
        parameters=model.count_params(),
    )
    loaded = answers.add(record, frameworks.KerasRunner(model, argument.name), argument, store, tell)
    layers = [] if argument.sequences else [each.name for each in keras_signature.stateful(model)]
    if not layers:
        return loaded
    note = (
        f"It keeps a state between calls (stateful=True in '{shortened(layers[0], 100)}'), which is reset before each row. If rows are steps "
        "of a stream, give each stream as a row, (streams, steps, ...), and add to [model]: sequences = true."
    )
    return msgspec.structs.replace(loaded, notes=(note, *loaded.notes))


def _through_tf_keras(argument: Request, error: BeyondKeras3Error, store: Store, tell: Tell) -> Loaded:
    """Open it with tf_keras, and continue with it as a SavedModel. `error` says what Keras 3 has not."""
    import keras

    from pipeline.frameworks import keras2_legacy

    tell(0, 0, f"opening {argument.name} with tf_keras")
    path, scratch = store.path(argument.artifact), Path(argument.scratch)
    own = keras.saving.get_custom_objects() if argument.custom_objects else {}
    folder = keras2_legacy.save_with_tf_keras(path, scratch, argument.name, own)
    record = Model(
        name=argument.name.rpartition(".")[0],
        artifact=store.put_bytes(saved_model_archive.packed(folder, argument.name), saved_model.FORMAT),
        inputs=(),
        outputs=(),
        parameters=None,
    )
    loaded = saved_model.read_folder(folder, record, argument, store, tell)
    note = f"It is opened with tf_keras, and can be converted and measured, not compressed: {error.message}."
    return msgspec.structs.replace(loaded, notes=(note, *loaded.notes))
