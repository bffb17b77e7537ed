"""Each output of each file against the model that it was made from: what is kept of it, and of each part of it."""

from pipeline import units
from pipeline.records import RunRecord, Signal
from pipeline.report.tables._columns import table_of
from pipeline.report.tables.tensors import LONGEST_NAME
from pipeline.report.trust import Trust
from pipeline.report.view import Shown, Table, Topic
from pipeline.safe_text import shortened

TOPIC = Topic.MAKING
SHOWN = Shown.DETAILS
NOTE = (
    "SNR: the variance of the model's answers over the rows against the squared error, in dB; an answer that is the same for all rows reaches 0. "
    "Parts: along the axis of the answers that is named, the first being that of the rows. Dead: the error is as large as all that varies."
)
MOST_LISTED = 16


def table(run: RunRecord, _trust: Trust) -> Table:
    """A line for each output of floating point of each file, on the host and on the board."""
    found = [(one.file, "host", one.agreement.signals) for one in run.converted if one.agreement]
    found += [(one.file, one.runtime, one.accuracy.signals) for one in run.measured.measurements if one.accuracy]
    lines = [(file, where, *_cells(each)) for file, where, signals in found for each in signals]
    return table_of("What outputs keep", "file|where|output|SNR>|parts|SNR of each>|dead", lines, NOTE if lines else "")


def _cells(found: Signal) -> tuple[str, str, str, str, str]:
    parts = (
        units.UNKNOWN
        if found.axis is None
        else f"{units.count(len(found.channels_db))} along axis {units.count(found.axis)}"
    )
    known = [each for each in found.channels_db if each is not None]
    if len(found.channels_db) <= MOST_LISTED:
        each = ", ".join(map(units.decibels, found.channels_db)) or units.UNKNOWN
    else:
        each = f"{units.decibels(min(known, default=None))} to {units.decibels(max(known, default=None))}"
    dead = ", ".join(map(units.count, found.dead_channels[:MOST_LISTED])) + (
        ", ..." if len(found.dead_channels) > MOST_LISTED else ""
    )
    return (
        shortened(found.output, LONGEST_NAME) or units.UNKNOWN, units.decibels(found.snr_db), parts, each,
        "all" if found.dead else dead or units.UNKNOWN,
    )  # fmt: skip
