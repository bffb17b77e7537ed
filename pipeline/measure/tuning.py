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
    """What may not be set is said, and the measurement goes on: its doubts tell what came of it."""
    if not plan.tables.board.tune:
        yield
        return
    said = session.tune(LEASE_S, while_used=True)
    for command in said.refused:
        progress.say(f"the board's user may not tune all of it; on the board itself this would: {command}")
    try:
        yield
    finally:
        with contextlib.suppress(TargetError):  # the link is gone: the board does it by itself
            session.tune(0)
