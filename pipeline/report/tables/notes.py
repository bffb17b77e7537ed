"""What the passes say of their work."""

from pipeline.records import RunRecord
from pipeline.report.tables._columns import table_of
from pipeline.report.trust import Trust
from pipeline.report.view import Shown, Table, Topic

TOPIC = Topic.MAKING
SHOWN = Shown.DETAILS


def table(run: RunRecord, _trust: Trust) -> Table:
    """What the passes say of their work: what they left as it was and why, what does not pay."""
    lines = [(one.name, note) for one in run.compressed.passes for note in one.notes]
    return table_of("What the passes say", "pass|note", lines)
