"""One page that opens anywhere, offline and in ten years: no address, no script, its pictures inside."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.records import RunRecord
from pipeline.report.compose import view_of
from pipeline.report.pictures.files import pictures, variants
from pipeline.report.view import Section, Topic, View
from pipeline.store import Store

TEMPLATE = "page.html.j2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """Sections under one heading. Those whose title is the heading need none of their own."""

    key: str
    title: str  # in the list of what is on the page
    heading: str
    sections: tuple[Section, ...]


Chapters = dict[str, tuple[str, str, tuple[Topic, ...]]]
"""Key of a chapter -> its title, its heading ("": the title of its first section), and the topics of its sections."""
FIRST: Chapters = {
    "results": ("Results", "", (Topic.RESULTS,)),
    "pairs": ("Side by side", "", (Topic.PAIRS,)),
    "ledger": ("Ledger", "", (Topic.LEDGER,)),
}
LAST: Chapters = {
    "making": ("How it was made", "How it was made", (Topic.MAKING, Topic.STAGES)),
    "measuring": ("How it was measured", "", (Topic.METHOD, Topic.TIMES, Topic.RESOURCES)),
    "board": ("What the board was", "", (Topic.BOARD,)),
}
"""After the limits, the doubts and the pictures."""


def render(run: RunRecord, _store: Store) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(TEMPLATE)
    view = view_of(run)
    first, last = (list(_chapters(view, chapters)) for chapters in (FIRST, LAST))
    drawn = {"pictures": list(pictures(run)), "variants": variants(run)}
    return page.render(view=view, first=first, last=last, **drawn).strip() + "\n"


def _chapters(view: View, chapters: Chapters) -> Iterator[Chapter]:
    """Those that have anything to show."""
    for key, (title, heading, places) in chapters.items():
        found = tuple(
            section for place in places for section in view.sections if section.topic is place and section.table.lines
        )
        if found:
            yield Chapter(key=key, title=title, heading=heading or found[0].table.title, sections=found)
