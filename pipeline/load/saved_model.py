"""Load a SavedModel: a folder of Keras's `model.export`, of tf_keras, or of a tf.Module with signatures."""

from pathlib import Path

import msgspec
import numpy as np

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.errors import ModelError
from pipeline.frameworks import Array, saved_model_archive
from pipeline.frameworks.saved_model_runner import SavedModelRunner
from pipeline.load import answers
from pipeline.load.request import Request
from pipeline.records import Loaded, Model
from pipeline.store import Store

FORMAT = "saved_model"
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
    return read_folder(folder, record, argument, store, tell)


def read_folder(folder: Path, record: Model, argument: Request, store: Store, tell: Tell) -> Loaded:
    """Return `record` with what the SavedModel in `folder` takes, computes with, and answers."""
    runner = SavedModelRunner(folder, argument.name, argument.signature)
    weights = runner.weights()
    for name, values in weights:
        _check(values, name, argument.name)
    count = sum(values.size for _, values in weights) or None  # 0: they are constants of the graph
    record = msgspec.structs.replace(record, parameters=count)
    loaded = answers.add(record, runner, argument, store, tell)
    return msgspec.structs.replace(loaded, notes=(STATE,)) if runner.keeps_state and not argument.sequences else loaded


def _check(values: Array, variable: str, name: str) -> None:
    if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
        raise ModelError(
            f"{name}: the weights '{variable}' hold NaN or infinity",
            hint="Training went wrong (often a learning rate that is too high): train again and export a sound model.",
        )
