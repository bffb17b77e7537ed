"""Each file and the model that it was made from."""

from pipeline import units
from pipeline.records import Agreement, RunRecord
from pipeline.report.tables._columns import table_of
from pipeline.report.trust import Trust
from pipeline.report.view import Place, Shown, Table

PLACE = Place.MAKING
SHOWN = Shown.DETAILS


def table(run: RunRecord, _trust: Trust) -> Table:
    """Each file against the model it was made from, on the host."""
    lines = []
    for one in run.converted:
        told = one.agreement
        lines.append(
            (
                one.file,
                one.kind or units.UNKNOWN,
                units.size(one.artifact.size_bytes),
                units.count(told.rows if told else None),
                units.number(told.largest_error if told else None),
                units.number(told.error_rms if told else None),
                units.percent(_of_spread(told)),
                units.percent(told.top1_agreement_ratio if told else None),
                units.percent(told.source_accuracy_ratio if told else None),
                units.percent(told.accuracy_ratio if told else None),
                one.artifact.sha256[:12],
            )
        )
    return table_of(
        "Conversions",
        "file|kind|size>|rows>|largest error>|error (rms)>|of the spread>|same top class>|accuracy of the source>|accuracy on the host>|sha256",
        lines,
        " ".join(
            (
                (
                    "Each file and the model that it was made from answered the same rows on the host. Kind: by the file's tensors. Errors are in the "
                    "output's own unit; the spread is the standard deviation of the model's answers over the rows. Classes only where labels, or "
                    "answers that are distributions, say that they are."
                ),
                *_notes(run),
            )
        ),
    )


def _notes(run: RunRecord) -> tuple[str, ...]:
    """What was chosen in making them, each once."""
    return tuple(dict.fromkeys(f"{one.format}: {note}." for one in run.converted for note in one.notes))


def _of_spread(told: Agreement | None) -> float | None:
    return told.error_rms / told.spread if told and told.error_rms is not None and told.spread else None
