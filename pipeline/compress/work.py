"""In the child: every pass after the other, each weighed and its accuracy taken, each promise checked."""

import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.compress import Request, load_pass
from pipeline.compress.base import Training, apply_pass, weigh
from pipeline.records import Compressed, Model, PassReport
from pipeline.store import Store


def work(argument: Request, tell: Tell) -> Compressed:
    import tensorflow as tf

    tempfile.tempdir = argument.scratch
    tf.keras.utils.set_random_seed(argument.seed)
    tf.config.experimental.enable_op_determinism()  # the same seed gives the same weights, bit for bit
    store = Store(Path(argument.root), tmp=Path(argument.scratch))
    record = argument.model
    tell(0, 0, f"loading {record.name}")
    model = frameworks.open_keras(store.path(record.artifact), record.name)
    training = None
    if argument.training is not None:
        rows = argument.training
        training = Training(
            x=np.load(store.path(rows.x), mmap_mode="r", allow_pickle=False),  # mapped: a pass may need only some
            y=None if rows.y is None else frameworks.read_rows(store.path(rows.y)),
        )
    reports = []
    for step in argument.steps:
        began = time.monotonic()
        the_pass = load_pass(step.name)
        settings = msgspec.convert(step.settings, the_pass.Settings)
        before = weigh(model)
        tell(0, 0, step.name)
        model, file, claims = apply_pass(step.name, the_pass, model, settings, training, tell, seed=argument.seed)
        after = weigh(model)
        changed = _answer(
            msgspec.structs.replace(record, artifact=store.put_bytes(file, "keras")), model, argument, store, tell
        )
        reports.append(
            PassReport(
                name=step.name,
                settings=step.settings,
                parameters_before=before.parameters,
                parameters_after=after.parameters,
                nonzero_before=before.nonzero,
                nonzero_after=after.nonzero,
                deflated_before_bytes=before.deflated_bytes,
                deflated_after_bytes=after.deflated_bytes,
                accuracy_before_ratio=record.accuracy_ratio,
                accuracy_after_ratio=changed.accuracy_ratio,
                claims=claims,
                seconds=time.monotonic() - began,
            )
        )
        record = msgspec.structs.replace(changed, parameters=after.parameters)
    return Compressed(model=record, passes=tuple(reports))


def _answer(record: Model, model: object, argument: Request, store: Store, tell: Tell) -> Model:
    if argument.evaluation is None:
        return record
    x = frameworks.read_rows(store.path(argument.evaluation.x))
    y = argument.evaluation.y
    outputs = frameworks.keras_answers(
        model, x, lambda done, of: tell(done, of, "the compressed model answers the evaluation rows")
    )
    frameworks.check_finite(outputs, "the compressed model")
    return msgspec.structs.replace(
        record,
        outputs=store.put_parts(lambda: frameworks.array_parts(outputs), "npy"),
        accuracy_ratio=frameworks.accuracy(outputs, None if y is None else frameworks.read_rows(store.path(y))),
    )
