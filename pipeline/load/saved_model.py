"""Load a SavedModel: a folder of Keras's `model.export`, of tf_keras, or of a tf.Module with signatures."""

from pathlib import Path

import msgspec
import numpy as np

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.errors import EdgepressError, ModelError
from pipeline.frameworks import Array, saved_model, saved_model_archive, saved_model_layers
from pipeline.frameworks.saved_model_runner import SavedModelRunner
from pipeline.load import answers
from pipeline.load.request import Request
from pipeline.records import Loaded, Model
from pipeline.safe_text import shortened
from pipeline.store import Store

FORMAT = "saved_model"
ROUNDING = 1e-4
"""Of the largest answer: what two ways to compute the same in 32 bits may be apart after hundreds of layers; other weights are further."""
STATE = (
    "It keeps a state between calls, in variables that it writes, which is reset before each row. If rows are steps of a stream, give each "
    "stream as a row, (streams, steps, ...), and add to [model]: sequences = true."
)
CRASHED = "Does tf.saved_model.load open it? If not, it is damaged: export it again from the program that made it."


def check(data: bytes, name: str) -> None:
    """Refuse the archive of a folder that cannot hold a SavedModel."""
    saved_model_archive.check(data, name)


def readable(name: str) -> bool:
    """Refuse a SavedModel on a host that cannot open it."""
    frameworks.need("tensorflow", f"loading {name}")
    return True


def read(argument: Request, tell: Tell) -> Loaded:
    """Open the signature that the plan names, look at its weights, and let it answer the evaluation rows. Runs in a child."""
    store = argument.store()
    tell(0, 0, f"loading {argument.name}")
    path, scratch = store.path(argument.artifact), Path(argument.scratch)
    folder = saved_model_archive.unpacked(path, scratch, argument.name)
    record = Model(name=argument.name, artifact=argument.artifact, inputs=(), outputs=(), parameters=None)
    loaded = read_folder(folder, record, argument, store, tell)
    if not argument.layers or not saved_model_layers.has_layers(folder):
        return loaded
    try:
        return _with_layers(folder, loaded, argument, store, tell)
    except EdgepressError as error:
        note = (
            f"Its layers do not come back, so that it can be converted and measured, not compressed: {error.message}."
        )
        return msgspec.structs.replace(loaded, notes=(note, *loaded.notes))


def _with_layers(folder: Path, loaded: Loaded, argument: Request, store: Store, tell: Tell) -> Loaded:
    """Return the record of the Keras model with the SavedModel's layers. ModelError unless its answers are the same."""
    tell(0, 0, f"building the layers of {argument.name}")
    if argument.sequences:
        raise ModelError("its rows are sequences", hint="Leave out [[compress]].")
    if not loaded.model.answers:
        raise ModelError(
            "there are no evaluation rows to see by whether they answer the same", hint="Give data.evaluation."
        )
    opened = saved_model.Opened(folder, argument.name)
    model = saved_model_layers.with_layers(opened)
    runner = frameworks.KerasRunner(model, argument.name)
    ends, told = (
        [sorted(each.name for each in specs) for specs in (what.inputs, what.outputs)]
        for what in (runner, loaded.model)
    )
    if ends != told:
        raise ModelError(
            f"they take {', '.join(ends[0])} and give {', '.join(ends[1])}, and its signature {', '.join(told[0])} and {', '.join(told[1])}",
            hint="Leave out [[compress]].",
        )
    record = Model(
        name=argument.name,
        artifact=store.put_bytes(frameworks.save_keras(model), "keras"),
        inputs=(),
        outputs=(),
        parameters=model.count_params(),
    )
    found = answers.add(record, runner, argument, store, tell)
    _check_same(found, loaded, store)
    return found


def _check_same(found: Loaded, loaded: Loaded, store: Store) -> None:
    """Raise ModelError unless the layers answer as the signature does."""
    wanted = {
        spec.name: each
        for spec, each in zip(loaded.model.outputs, frameworks.arrays_of(loaded.model.answers, store.path), strict=True)
    }
    for spec, each in zip(found.model.outputs, frameworks.arrays_of(found.model.answers, store.path), strict=True):
        exact = wanted[spec.name].astype(np.float64)
        if each.shape != exact.shape:
            raise ModelError(
                f"their answers '{shortened(spec.name, 100)}' are {each.shape}, and those of its signature {exact.shape}",
                hint="Leave out [[compress]].",
            )
        error, largest = np.abs(each - exact).max(), np.abs(exact).max()
        if not error <= ROUNDING * largest:
            raise ModelError(
                f"their answers '{shortened(spec.name, 100)}' are up to {error:.3g} away from those of its signature, of which the largest "
                f"is {largest:.3g}",
                hint="Leave out [[compress]].",
            )


def read_folder(folder: Path, record: Model, argument: Request, store: Store, tell: Tell) -> Loaded:
    """Return `record` with what the SavedModel in `folder` takes, computes with, and answers."""
    runner = SavedModelRunner(folder, argument.name, argument.signature)
    weights = runner.weights()
    for name, values in weights:
        _check(values, name, argument.name)
    count = sum(values.size for _, values in weights) or None  # 0: they are constants of the graph
    record = msgspec.structs.replace(record, parameters=count)
    loaded = answers.add(record, runner, argument, store, tell)
    keeps = runner.keeps_state and not argument.sequences
    return msgspec.structs.replace(loaded, notes=(STATE, *loaded.notes)) if keeps else loaded


def _check(values: Array, variable: str, name: str) -> None:
    if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
        raise ModelError(
            f"{name}: the weights '{variable}' hold NaN or infinity",
            hint="Training went wrong (often a learning rate that is too high): train again and export a sound model.",
        )
