"""What the child that reads a model gets."""

import tempfile
from pathlib import Path
from typing import Any

from pipeline.records import Artifact, Data, Record
from pipeline.store import Store


class Request(Record, frozen=True):
    """What a loader's `read` gets."""

    root: str  # of the store
    scratch: str
    name: str  # of the model's file, for messages
    format: str
    artifact: Artifact
    data: Data
    # the rest of [model], and of [data]
    signature: str | None
    constants: dict[str, Any]
    shape: dict[str, tuple[int, ...]]
    state: dict[str, str]
    sequences: bool  # also where there is `state`
    raw: bool
    nonfinite: bool  # rows and answers may hold NaN and infinity
    custom_objects: str | None
    folder: str  # of the plan
    baseline: Artifact | None = None  # the evaluation rows must fit it, too
    baseline_name: str = ""
    layers: bool = False  # passes will work on them, so that a SavedModel is asked for its own

    def store(self) -> Store:
        """Open the store in the child, whose temporary files go where the parent removes them."""
        tempfile.tempdir = self.scratch
        return Store(Path(self.root), tmp=Path(self.scratch))
