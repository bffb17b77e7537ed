"""What else the plan's own metric says of each file: numbers that are not judged."""

from pipeline import units
from pipeline.records import RunRecord, quality_of
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
    host = {one.artifact: one.agreement.qualities for one in run.converted if one.agreement}
    lines = []
    for one in asked_for(run):
        for task in run.loaded.data.tasks:
            qualities = (
                run.loaded.model.qualities,
                host.get(one.artifact, ()),
                one.accuracy.qualities if one.accuracy else (),
            )
            model, here, board = (quality_of(each, task) for each in qualities)
            for name, value in board.others.items() if board else ():
                others = [quality.others.get(name) if quality else None for quality in (model, here)]
                told = (units.UNKNOWN if each is None else units.metric(each) for each in others)
                shown = guarded(units.metric(value), accuracy_mark_of(one))
                number = shortened(f"{task.name}: {name}" if task.name else name, LONGEST_NAME)
                lines.append((one.file, one.runtime, number, *told, shown))
    return table_of(
        "Other numbers of the metric",
        "file|runtime|number|the model>|on the host>|on the board>",
        lines,
        "They are reported, and not judged.",
    )
