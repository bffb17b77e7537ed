"""A file of tests/models as the stages before deploy leave it: its inputs and outputs, its rows, and this host's answers."""

import msgspec

from pipeline import deploy, frameworks, measure, plan
from pipeline.progress import Silent
from pipeline.records import Column, Converted, Data, Rows
from pipeline.store import Store
from tests.support.models import MODELS

PLAN = (
    '[model]\npath = "{file}"\n[measure]\ntimed_seconds = 0.01\nlaunches = 2\nmeters = []\noperators = false\n{measure}'
)


class Said(Silent):
    def __init__(self):
        self.sentences = []

    def say(self, sentence):
        self.sentences.append(sentence)


def kept(store, array):
    return frameworks.stored([array], store)[0]


class Given:
    """A file with its rows, in a folder of its own, ready to be deployed and measured on this machine."""

    def __init__(self, folder, file, columns, constants=None, fixed=None, state=(), *, sequences=False, **told):
        self.folder, self.store, self.progress = folder, Store(folder / ".edgepress"), Said()
        self.file, path = file, MODELS / file
        given = [(name, x, False) for name, x in columns.items()]
        given += [(name, x[None], True) for name, x in (constants or {}).items()]
        rows = Rows(
            inputs=tuple(Column(name, kept(self.store, x), x.shape[1:], x.dtype.name, constant) for name, x, constant in given),
            y=told.pop("y", None),
            rows=len(next(iter(columns.values()))) if columns else 1,
        )  # fmt: skip
        self.data = Data(evaluation=rows if given else None)
        format_name = path.suffix[1:]
        artifact = self.store.put_bytes(path.read_bytes(), format_name)
        runner = frameworks.open_file(path, format_name, file)
        inputs = tuple(msgspec.structs.replace(each, fixed=(fixed or {}).get(each.name)) for each in runner.inputs)
        answers = ()
        if columns:
            feeds = frameworks.feeds_of(rows, inputs, self.store.path, sequences=sequences)
            answers = frameworks.stored(runner.answers(feeds, folder / "answers", lambda *_: None, state), self.store)
        self.converted = Converted(
            variant="original", format=f"{format_name}-fp32", artifact=artifact, agreement=None, inputs=inputs,
            outputs=runner.outputs, state=state, sequences=sequences, answers=answers, **told,
        )  # fmt: skip

    def measured(self, measure_table=""):
        path = self.folder / "edge.toml"
        path.write_text(PLAN.format(file=self.file, measure=measure_table))
        the_plan, files = plan.read(path), [self.converted]
        with deploy.connect(the_plan, print) as board:
            self.deployment = deploy.deploy(board, the_plan, self.data, files, self.store, self.progress)
            found = measure.measure(
                board.session, the_plan, self.data, self.deployment, files, self.store, self.progress
            )
            board.session.forget_fetched()
        return found

    def answered(self, **changes):
        """The host's answers, changed: what another board would have to answer."""
        self.converted = msgspec.structs.replace(self.converted, **changes)
