import msgspec
import pytest

from pipeline.records import Artifact, Record
from pipeline.store import Store


class Answer(Record, frozen=True):
    artifacts: tuple[Artifact, ...]


class Folder:
    """A state folder, and what tests do to it."""

    def __init__(self, root):
        self.root = root
        self.said = []

    def store(self):
        return Store(self.root, say=self.said.append)

    def answer(self, store, key, *contents):
        """As a stage does: artifacts, then the answer that names them."""
        make = lambda: Answer(tuple(store.put_bytes(content, "npy") for content in contents))  # noqa: E731
        return store.remember("stage", key, Answer, make)

    def run(self, store, plan, *artifacts):
        run_id = store.next_run_id(NOW)
        store.keep_run(run_id, msgspec.json.encode({"plan_path": str(plan), "artifacts": artifacts}))
        return run_id

    def names(self, folder="store"):
        return {path.name for path in (self.root / folder).iterdir()}


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "state")


from datetime import UTC, datetime  # noqa: E402

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
