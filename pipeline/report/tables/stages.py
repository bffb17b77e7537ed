"""How long each stage took."""

from pipeline import units
from pipeline.records import RunRecord
from pipeline.report.tables._columns import table_of
from pipeline.report.trust import Trust
from pipeline.report.view import Shown, Table, Topic

TOPIC = Topic.STAGES
SHOWN = Shown.DETAILS


def table(run: RunRecord, _trust: Trust) -> Table:
    """A line for each stage that ran, or whose answer was in the cache."""
    return table_of(
        "Stages",
        "stage|took>|from the cache",
        [(one.stage, units.seconds(one.seconds), "yes" if one.cached else "no") for one in run.stages],
    )
