"""What else the plan's own metric says of each file: numbers that are not judged."""

from pipeline import units
from pipeline.records import RunRecord
from pipeline.report.tables._columns import table_of
from pipeline.report.trust import Trust, accuracy_mark_of, asked_for, guarded
from pipeline.report.view import Shown, Table, Topic
from pipeline.safe_text import shortened

TOPIC = Topic.RESULTS
SHOWN = Shown.DETAILS
LONGEST_NAME = 40


def table(run: RunRecord, trust: Trust) -> Table:
    """A line for each number of each measured file; none where the metric gives a single number."""
    del trust
    host = {one.artifact: one.agreement.quality for one in run.converted if one.agreement}
    model, lines = run.loaded.model.quality, []
    for one in asked_for(run):
        found = one.accuracy.quality if one.accuracy else None
        for name, value in found.others.items() if found else ():
            others = [quality.others.get(name) if quality else None for quality in (model, host.get(one.artifact))]
            told = (units.UNKNOWN if each is None else units.metric(each) for each in others)
            shown = guarded(units.metric(value), accuracy_mark_of(one))
            lines.append((one.file, one.runtime, shortened(name, LONGEST_NAME), *told, shown))
    return table_of(
        "Other numbers of the metric",
        "file|runtime|number|the model>|on the host>|on the board>",
        lines,
        "They are reported, and not judged.",
    )
