"""Each file and the model that it was made from."""

from pipeline import units
from pipeline.records import Agreement, RunRecord
from pipeline.report.tables._columns import table_of
from pipeline.report.tables.tensors import LONGEST_NAME
from pipeline.report.trust import Trust
from pipeline.report.view import Shown, Table, Topic
from pipeline.safe_text import shortened

TOPIC = Topic.MAKING
SHOWN = Shown.DETAILS


def table(run: RunRecord, _trust: Trust) -> Table:
    """Each file against the model it was made from, on the host."""
    lines = []
    for one in run.converted:
        agreement = one.agreement
        lines.append(
            (
                one.file,
                one.kind or units.UNKNOWN,
                units.size(one.artifact.size_bytes),
                units.count(agreement.rows if agreement else None),
                _largest(agreement),
                units.number(agreement.error_rms if agreement else None),
                units.percent(_of_spread(agreement)),
                _least_db(agreement),
                units.percent(agreement.top1_agreement_ratio if agreement else None),
                units.percent(agreement.source_accuracy_ratio if agreement else None),
                units.percent(agreement.accuracy_ratio if agreement else None),
                one.artifact.sha256[:12],
            )
        )
    return table_of(
        "Conversions",
        "file|kind|size>|rows>|largest error>|error (rms)>|of the spread>|SNR>|same top class>|accuracy of the source>|accuracy on the host>|sha256",
        lines,
        " ".join(
            (
                (
                    "Each file and the model that it was made from answered the same rows on the host. Kind: by the file's tensors. Errors are in the "
                    "output's own unit; the spread is the standard deviation of the model's answers over the rows. SNR: what varies over the rows against the error, of "
                    "the output that keeps the least. Classes only where labels, or answers that are distributions, say that they are."
                ),
                *(
                    ("Of several outputs, the errors are of the worst, which is named.",)
                    if any(one.agreement and one.agreement.output for one in run.converted)
                    else ()
                ),
                *_notes(run),
            )
        ),
    )


def _notes(run: RunRecord) -> tuple[str, ...]:
    """What was chosen in making them, each once."""
    return tuple(dict.fromkeys(f"{one.format}: {note}." for one in run.converted for note in one.notes))


def _largest(agreement: Agreement | None) -> str:
    if agreement is None:
        return units.UNKNOWN
    return units.number(agreement.largest_error) + (
        f" ({shortened(agreement.output, LONGEST_NAME)})" if agreement.output else ""
    )


def _least_db(agreement: Agreement | None) -> str:
    return units.decibels(
        min((each.snr_db for each in agreement.signals if each.snr_db is not None), default=None) if agreement else None
    )


def _of_spread(agreement: Agreement | None) -> float | None:
    return (
        agreement.error_rms / agreement.spread
        if agreement and agreement.error_rms is not None and agreement.spread
        else None
    )
