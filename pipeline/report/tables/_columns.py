"""Short ways to write the columns and lines of a table."""

from collections.abc import Sequence

from pipeline.report.view import Column, Line, Table


def table_of(
    title: str, columns: str, lines: Sequence[tuple[str, ...]], note: str = "", *, facts: bool = False
) -> Table:
    """`columns` as in `columns_of`; a line is trusted. The rest: `view.Table`."""
    made = tuple(Line(cells=cells) for cells in lines)
    return Table(title=title, columns=columns_of(columns), lines=made, note=note, facts=facts)


def columns_of(headings: str) -> tuple[Column, ...]:
    """'file|size>|zipped>^': three columns; > aligns right, ^ may stand under the one before."""
    return tuple(
        Column(heading=text.rstrip(">^"), number=">" in text, under=text.endswith("^")) for text in headings.split("|")
    )
