"""One run, whole."""

from typing import Annotated

import msgspec

from pipeline.records.base import Record, Sha256
from pipeline.records.compare import Compared, Outcome
from pipeline.records.compress import Compressed
from pipeline.records.convert import Converted
from pipeline.records.deploy import Deployment
from pipeline.records.measure import Measured
from pipeline.records.model import Loaded

SCHEMA = 6


class StageTime(Record, frozen=True):
    stage: str
    seconds: float
    cached: bool


class RunRecord(Record, frozen=True, kw_only=True):
    """One run, whole: what `run --json` prints and `report` reads back."""

    schema: int = SCHEMA
    run_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f-]{1,40}$")]
    created_utc: str
    edgepress_version: str
    plan_path: str
    plan_sha256: Sha256
    measured_by_sha256: (
        Sha256  # of the plan without its limits: `compare` judges again only what the same plan measured
    )
    seed: int
    loaded: Loaded
    compressed: Compressed
    converted: tuple[Converted, ...]
    deployment: Deployment
    measured: Measured
    compared: Compared | None  # None: measured, not judged yet
    stages: tuple[StageTime, ...]

    @property
    def outcome(self) -> Outcome:
        """The outcome of the whole run; a run that was not judged is not a pass."""
        return self.compared.outcome if self.compared else Outcome.INCONCLUSIVE
