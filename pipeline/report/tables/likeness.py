"""How like its model each file answers, in the terms of each task and without labels."""

from pipeline import units
from pipeline.records import RunRecord
from pipeline.report.tables._columns import table_of
from pipeline.report.tables.tensors import LONGEST_NAME
from pipeline.report.trust import Trust, accuracy_mark_of, asked_for, guarded
from pipeline.report.view import Shown, Table, Topic
from pipeline.safe_text import shortened

TOPIC = Topic.RESULTS
SHOWN = Shown.DETAILS
NOTE = "The answers of the model that each file was made from are taken for labels, so that none are needed."


def table(run: RunRecord, _trust: Trust) -> Table:
    """A line for each task of each measured file; none where no kind of task has such a number."""
    here = {one.artifact: one.agreement.alike for one in run.converted if one.agreement}
    lines = []
    for one in asked_for(run):
        host = {(each.task, each.title): each.value for each in here.get(one.artifact, ())}
        board = {(each.task, each.title): each.value for each in (one.accuracy.alike if one.accuracy else ())}
        for task, title in dict.fromkeys((*host, *board)):
            on_host, on_board = (units.metric(each.get((task, title))) for each in (host, board))
            name = f"{shortened(task, LONGEST_NAME)}: " if task else ""
            lines.append((one.file, one.runtime, f"{name}{title}", on_host, guarded(on_board, accuracy_mark_of(one))))
    return table_of(
        "Like its model", "file|runtime|by the task|on the host>|on the board>", lines, NOTE if lines else ""
    )
