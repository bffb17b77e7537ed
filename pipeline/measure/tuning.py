"""The board's governor and clocks, fixed while it is measured ([board] tune)."""

import contextlib
from collections.abc import Iterator

from pipeline.plan import Plan
from pipeline.progress import Progress
from targets import Session
from targets.errors import TargetError

LEASE_S = 12 * 3600.0
"""Longer than any plan measures: the board itself puts everything back a minute after its last job."""


@contextlib.contextmanager
def tuned(session: Session, plan: Plan, progress: Progress) -> Iterator[None]:
    """Tune the board for the time of a measurement. What may not be set is said, and the measurement continues: its doubts show the effect."""
    if not plan.tables.board.tune:
        yield
        return
    answer = session.tune(LEASE_S, while_used=True)
    for command in answer.refused:
        progress.say(f"the board's user may not tune all of it; on the board itself this would: {command}")
    try:
        yield
    finally:
        with contextlib.suppress(TargetError):  # the link is broken: the board does it by itself
            session.tune(0)
