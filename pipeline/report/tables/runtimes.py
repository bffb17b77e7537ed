"""The wheels that the board ran."""

from pipeline import units
from pipeline.records import RunRecord
from pipeline.report.tables._columns import table_of
from pipeline.report.trust import Trust
from pipeline.report.view import Shown, Table, Topic

TOPIC = Topic.BOARD
SHOWN = Shown.DETAILS


def table(run: RunRecord, _trust: Trust) -> Table:
    """The wheels that the board ran."""
    versions = {one.runtime: one.runtime_version for one in run.measured.measurements}
    return table_of(
        "Runtimes",
        "runtime|version|wheels|sites|sent>",
        [
            (
                one.name,
                versions.get(one.name, units.UNKNOWN),
                ", ".join(one.packages) or "none needed",
                ", ".join(site[:12] for site in one.sites) or units.UNKNOWN,
                units.size(one.sent_bytes) if one.sent_bytes else "was there",
            )
            for one in run.deployment.runtimes
        ],
    )
