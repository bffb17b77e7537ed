"""Two processes put, use, damage, undo and clean in one folder, in any order: what is used is right, and what is needed is there."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.errors import PlanError, StageError
from pipeline.store.clean import Bound, clean
from tests.pipeline.store.conftest import Folder
from tests.support.damage import flip

WHO = st.integers(0, 1)
CONTENT = st.integers(0, 2)


def content_of(number):
    return bytes([number]) * (number + 1)


class Machine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Folder(Path(tempfile.mkdtemp()) / "state")
        self.stores = [self.folder.store(), self.folder.store()]
        self.needed = [{}, {}]  # of each process: artifact -> its content, since it was opened
        self.damaged = set()

    def teardown(self):
        for store in self.stores:
            store.close()
        shutil.rmtree(self.folder.root.parent)

    def need(self, who, artifacts):
        self.needed[who].update({each: content_of(each.size_bytes - 1) for each in artifacts})
        self.damaged -= set(artifacts)

    @rule(who=WHO, content=CONTENT)
    def put(self, who, content):
        self.need(who, [self.stores[who].put_bytes(content_of(content), "npy")])

    @rule(who=WHO, contents=st.lists(CONTENT, min_size=1, max_size=3))
    def remember(self, who, contents):
        key = "-".join(map(str, contents))
        answer, _ = self.folder.answer(self.stores[who], key, *map(content_of, contents))
        assert [each.size_bytes - 1 for each in answer.artifacts] == contents
        self.need(who, answer.artifacts)

    @rule(who=WHO, contents=st.lists(CONTENT, min_size=1, max_size=3))
    def fail(self, who, contents):
        store = self.stores[who]
        mine = dict(self.needed[who])
        with pytest.raises(PlanError), store.undone_on_error():
            key = "-".join(map(str, contents))
            answer, _ = self.folder.answer(store, key, *map(content_of, contents))
            self.damaged -= set(answer.artifacts)
            raise PlanError("bad input", hint="")
        self.needed[who] = mine

    @rule(who=WHO, content=CONTENT)
    def measure(self, who, content):
        artifact = self.stores[who].put_bytes(content_of(content), "npy")
        self.need(who, [artifact])
        self.folder.run(self.stores[who], f"/{content % 2}.toml", artifact)

    @rule(content=CONTENT, at=st.integers(0, 5), bit=st.integers(0, 7))
    def damage(self, content, at, bit):
        for path in (self.folder.root / "store").iterdir():
            if path.stat().st_size == content + 1:
                flip(path, at, bit)
                self.damaged |= {each for needed in self.needed for each in needed if each.sha256 == path.name}

    @rule(at=st.integers(0, 300), bit=st.integers(0, 7), kind=st.sampled_from(["answers", "verified"]))
    def damage_a_record(self, at, bit, kind):
        for path in (self.folder.root / kind).iterdir():
            flip(path, at, bit)

    @rule(
        keep=st.integers(0, 2), size=st.sampled_from([None, 0, 500]), age=st.sampled_from([None, 0]), dry=st.booleans()
    )
    def clean(self, keep, size, age, dry):
        store = self.folder.store()
        clean(store, Bound(keep_runs=keep, max_bytes=size, older_than_s=age), dry_run=dry)
        store.close()

    @rule(who=WHO)
    def open_again(self, who):
        self.stores[who].close()
        self.stores[who] = self.folder.store()
        self.needed[who] = {}

    @precondition(lambda self: any(self.needed))
    @rule(who=WHO)
    def use(self, who):
        for artifact, content in list(self.needed[who].items()):
            try:
                found = self.stores[who].path(artifact).read_bytes()
            except StageError:
                assert artifact in self.damaged
                for needed in self.needed:
                    needed.pop(artifact, None)
                self.damaged.discard(artifact)
            else:
                assert found == content

    @invariant()
    def what_a_process_needs_is_there_and_right(self):
        for needed in self.needed:
            for artifact, content in needed.items():
                if artifact not in self.damaged:
                    assert (self.folder.root / "store" / artifact.sha256).read_bytes() == content

    @invariant()
    def nothing_half_written(self):
        assert not list((self.folder.root / "store").glob("tmp*"))


Machine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestStore = Machine.TestCase
