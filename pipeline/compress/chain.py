"""Run every pass in its order, in the child: each result is weighed, its accuracy is taken, and its promise is checked.

What a pass answered is kept: a chain that was stopped, or whose last table was changed, continues after the last pass that is done.
"""

import contextlib
import shutil
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.compress.base import Step, apply_pass
from pipeline.compress.context import Context, Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.formats.base import VERSIONS, Format, weigh
from pipeline.compress.request import Request, identity, learning, teachers
from pipeline.compress.table import load_pass
from pipeline.compress.training import compiled
from pipeline.errors import EdgepressError
from pipeline.frameworks import Array, custom_objects
from pipeline.frameworks.types import OpenModel
from pipeline.quality import judge
from pipeline.records import Artifact, Compressed, Model, PassReport, Rows, TensorSpec
from pipeline.store import Store, key_of, versions

RESUME = "resume"
RESUME_SECONDS = 30 * 24 * 3600


def work(argument: Request, tell: Tell) -> Compressed:
    tempfile.tempdir = argument.scratch
    if argument.format == "keras":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()  # the same seed gives the same weights, bit for bit
        custom_objects.register(argument.custom_objects, Path(argument.folder))
    chain = Chain(argument, tell)
    _forget_old(chain.store.root / RESUME)
    reports: list[PassReport] = []
    record = argument.model
    for i, step in enumerate(argument.steps):
        try:
            report = chain.step(record, i, step)
        except EdgepressError as error:
            raise type(error)(error.message, hint=error.hint + _kept(reports, chain.store)) from error
        reports.append(report)
        record = report.model
    return Compressed(model=record, passes=tuple(reports))


def _kept(reports: list[PassReport], store: Store) -> str:
    if not reports:
        return " The model that was given is unchanged."
    last = reports[-1]
    return (
        f" The model as {last.name} left it is kept ({store.path(last.model.artifact)}): "
        "what was done is not done again."
    )


def _steps(model: Model) -> bool:
    """Whether its rows are sequences of steps."""
    return model.sequences or bool(model.state)


def _forget_old(folder: Path) -> None:
    """Remove what was reached in runs that were stopped and never taken up again."""
    for stopped in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):  # another process may be done with it just now
            if time.time() - stopped.stat().st_mtime > RESUME_SECONDS:
                shutil.rmtree(stopped, ignore_errors=True)


class Chain:
    """The passes of one request over one model."""

    def __init__(self, argument: Request, tell: Tell) -> None:
        self.argument, self.tell = argument, tell
        self.store = Store(Path(argument.root), tmp=Path(argument.scratch))
        self.format: Format = FORMATS[argument.format]
        self.done: list[object] = []  # what led to the model as it is now
        self.opened: tuple[Model, OpenModel] | None = None
        self.compiled = compiled.read(self.store.path(argument.model.artifact)) if argument.format == "keras" else None

    def step(self, record: Model, i: int, step: Step) -> PassReport:
        """One pass; from the store if it was done before with the same model, settings, data and seed."""
        self.done.append(step)
        argument = self.argument
        key = key_of(
            argument.model, tuple(self.done), identity(argument.data), argument.seed,
            teachers(argument.steps[: i + 1], Path(argument.folder)),
            custom_objects.digest(argument.custom_objects, Path(argument.folder)), learning(argument.training, Path(argument.folder)), versions(*VERSIONS),
        )  # fmt: skip
        resume = self.store.root / RESUME / key
        self.store.lease.take(f"{RESUME}/{key}")
        try:
            report, _ = self.store.remember("pass", key, PassReport, lambda: self._apply(record, step, resume))
        except EdgepressError:  # it would fail in the same way again; a run that is killed leaves what it reached
            shutil.rmtree(resume, ignore_errors=True)
            raise
        shutil.rmtree(resume, ignore_errors=True)
        return report

    def _apply(self, record: Model, step: Step, resume: Path) -> PassReport:
        began = time.monotonic()
        the_pass = load_pass(self.argument.format, step.name)
        settings = msgspec.convert(step.settings, the_pass.Settings)
        model = self._open(record)
        before, cost_before = weigh(self.format.weights(model)), self.format.multiply_accumulates(model)
        unchanged = self.format.save(model)  # a pass may only look: then the model's file stays the one that it is
        self.tell(0, 0, step.name)
        resume.mkdir(parents=True, exist_ok=True)
        applied = apply_pass(step.name, the_pass, model, settings, self._context(resume), self.format)
        model = applied.changed.model
        after = weigh(self.format.weights(model))
        changed = record
        if applied.file != unchanged:
            artifact = self.store.put_bytes(applied.file, self.argument.format)
            changed = self._answer(
                msgspec.structs.replace(
                    record, artifact=artifact, parameters=after.parameters, outputs=self._named(record.outputs, model)
                ),
                model,
            )
        self.opened = changed, model
        container = applied.changed.container
        return PassReport(
            name=step.name,
            settings=step.settings,
            model=changed,
            parameters_before=before.parameters,
            parameters_after=after.parameters,
            nonzero_before=before.nonzero,
            nonzero_after=after.nonzero,
            multiply_accumulates_before=cost_before,
            multiply_accumulates_after=self.format.multiply_accumulates(model),
            raw_before_bytes=before.raw_bytes,
            raw_after_bytes=after.raw_bytes,
            deflated_before_bytes=before.deflated_bytes,
            deflated_after_bytes=after.deflated_bytes,
            accuracy_before_ratio=record.accuracy_ratio,
            accuracy_after_ratio=changed.accuracy_ratio,
            claims=applied.claims,
            seconds=time.monotonic() - began,
            notes=applied.changed.notes,
            container=None if container is None else self.store.put_bytes(container, "codebook"),
            sensitivity=applied.changed.sensitivity,
        )

    def _named(self, outputs: tuple[TensorSpec, ...], model: OpenModel) -> tuple[TensorSpec, ...]:
        """The outputs by the names that the changed model gives them: a pass may put a layer after the last one."""
        _, now = self.format.interface(model)
        return tuple(msgspec.structs.replace(old, name=new.name) for old, new in zip(outputs, now, strict=True))

    def _open(self, record: Model) -> OpenModel:
        if self.opened is None or self.opened[0] != record:
            self.tell(0, 0, f"loading {record.name}")
            self.opened = record, self.format.open(self.store.path(record.artifact), record.name)
        return self.opened[1]

    def _context(self, resume: Path) -> Context:
        data, original = self.argument.data, self.argument.model
        return Context(
            training=self._rows(data.training),
            calibration=self._rows(data.calibration),
            evaluation=self._rows(data.evaluation),
            original=lambda: self.format.open(self.store.path(original.artifact), original.name),
            folder=Path(self.argument.folder),
            tell=self.tell,
            seed=self.argument.seed,
            resume=resume,
            scored=original.scored,
            sequences=_steps(original),
            state=original.state,
            outputs=tuple(each.name for each in original.outputs),
            compiled=self.compiled,
            learn=self.argument.training,
            tasks=data.tasks,
            shapes={each.name: each.fixed for each in original.inputs if each.fixed is not None},
        )

    def _rows(self, rows: Rows | None) -> Dataset | None:
        """The rows of each input, mapped: a pass may need only some of them."""
        if rows is None:
            return None
        found = {each.name: self._mapped(each.artifact) for each in rows.inputs if not each.constant}
        steps = min((x.shape[1] for x in found.values()), default=1)
        of_each = (rows.rows, steps) if _steps(self.argument.model) else (rows.rows,)
        for each in rows.inputs:
            if each.constant:
                found[each.name] = np.broadcast_to(self._mapped(each.artifact)[0], (*of_each, *each.shape))
        targets = {each.name: self._mapped(each.artifact) for each in rows.named}
        if rows.targets is not None:
            targets[""] = self._mapped(rows.targets)
        return Dataset(
            found,
            None if rows.y is None else frameworks.read_rows(self.store.path(rows.y)),
            targets,
            None if rows.weights is None else self._mapped(rows.weights),
        )

    def _mapped(self, artifact: Artifact) -> Array:
        found: Array = np.load(self.store.path(artifact), mmap_mode="r", allow_pickle=False)
        return found

    def _answer(self, record: Model, model: OpenModel) -> Model:
        """Return what the changed model answers for the evaluation rows."""
        rows = self.argument.data.evaluation
        if rows is None:
            return record
        feeds = frameworks.feeds_of(rows, record.inputs, self.store.path, sequences=_steps(record))
        with tempfile.TemporaryDirectory() as folder:
            answers = self.format.answers(
                model,
                feeds,
                Path(folder),
                lambda done, of: self.tell(done, of, "the compressed model answers the evaluation rows"),
                record.state,
            )
            was = frameworks.arrays_of(record.answers, self.store.path) or [None] * len(answers)
            for spec, each, source in zip(record.outputs, answers, was, strict=True):
                frameworks.check_finite(each, "the compressed model", spec.name if len(answers) > 1 else "", source)
            tasks = self.argument.data.tasks
            y = None if rows.y is None else frameworks.read_rows(self.store.path(rows.y))
            return msgspec.structs.replace(
                record,
                answers=frameworks.stored(answers, self.store),
                accuracy_ratio=frameworks.accuracy(answers[record.scored], y),
                qualities=judge.qualities(
                    tasks,
                    judge.by_name(tasks, answers),
                    rows,
                    self.store,
                    Path(self.argument.folder),
                    whose="the compressed model",
                ),
            )
