"""Which sections a report has. A section is one file, and one line here: a run in, a Table of the view out."""

from typing import Protocol

from pipeline.records import RunRecord
from pipeline.report.tables import (
    board_facts,
    conditions,
    conversions,
    end_to_end,
    energy,
    judged,
    latency,
    ledger,
    likeness,
    memory,
    method,
    notes,
    operators,
    other_metrics,
    passes,
    quality,
    quantiles,
    results,
    runtimes,
    sensitivity,
    signals,
    stages,
    tensors,
)
from pipeline.report.trust import Trust
from pipeline.report.view import Section, Shown, Table, Topic


class SectionFile(Protocol):
    """What the module of a section has."""

    TOPIC: Topic
    SHOWN: Shown

    def table(self, run: RunRecord, trust: Trust, /) -> Table:
        """Return what the run holds about it, in words; the title also where there are no lines. `trust`: that of this run."""


SECTIONS: dict[str, SectionFile] = {
    "results": results,
    "quality": quality,
    "other_metrics": other_metrics,
    "end_to_end": end_to_end,
    "likeness": likeness,
    "judged": judged,
    "quantiles": quantiles,
    "ledger": ledger,
    "sensitivity": sensitivity,
    "passes": passes,
    "notes": notes,
    "tensors": tensors,
    "conversions": conversions,
    "signals": signals,
    "latency": latency,
    "memory": memory,
    "operators": operators,
    "energy": energy,
    "board_facts": board_facts,
    "conditions": conditions,
    "runtimes": runtimes,
    "method": method,
    "stages": stages,
}
"""Key of a section -> its module. The order is that of every form; the page shows them by their topics."""


def sections(run: RunRecord, trust: Trust) -> tuple[Section, ...]:
    """Every section of the report of this run."""
    return tuple(
        Section(key=key, topic=each.TOPIC, shown=each.SHOWN, table=each.table(run, trust))
        for key, each in SECTIONS.items()
    )
