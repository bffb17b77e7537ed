"""What a report says, as text: every renderer shows this and adds nothing, so they cannot disagree.

`compose.view_of` makes it. All text in it has been through `clean`: names come from models, boards and other people's
files, and may hold what a terminal would obey.
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from pipeline.safe_text import clean


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    heading: str
    number: bool = False  # aligned right
    under: bool = False  # where there is little width, it may stand under the column before it
    brief: bool = True  # False: left out where there is least room, the terminal
    compact: bool = True  # False: left to the details of a pull request, which come after its short tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    cells: tuple[str, ...]
    mark: str = ""  # how far to trust it: "", doubtful or invalid; or an outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    note: str = ""
    facts: bool = False  # a name and its value in each line: a page needs no headings above them


class Topic(StrEnum):
    """What a section is about. The page has a chapter for one topic or for several."""

    RESULTS = "results"
    PAIRS = "pairs"
    LEDGER = "ledger"
    MAKING = "making"
    STAGES = "stages"
    METHOD = "method"
    TIMES = "times"
    RESOURCES = "resources"
    BOARD = "board"


class Shown(StrEnum):
    """How soon a section is shown. The page has them all."""

    FIRST = "first"  # before the limits, in every form
    BRIEF = "brief"  # in the terminal too, which has no details
    DETAILS = "details"  # folded away in a pull request


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table of the report, and where it stands. Nothing is shown of one without lines."""

    key: str
    topic: Topic
    shown: Shown
    table: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedLimit:
    """A limit of the plan and what became of it."""

    outcome: str
    subject: str
    metric: str
    baseline_subject: str
    baseline: str
    candidate: str
    change: str
    interval: str  # of the change, its level first; "" where it has none
    bound: str  # "at most" or "at least", for the limit
    limit: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The rows for which the evidence of a doubt is this."""

    rows: tuple[str, ...]
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedDoubt:
    """A doubt, said once whatever the number of rows that share it."""

    what: str
    invalid: bool
    cases: tuple[Evidence, ...]
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    tone: str  # better, worse, neutral
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    model: str
    board: str
    caveat: str  # it was not a board, or not the one in the plan; "" where neither is so
    outcome: str
    headline: str
    origin: str  # which run, which plan, which version
    limits: tuple[JudgedLimit, ...]
    findings: tuple[Finding, ...]
    failures: tuple[SharedDoubt, ...]
    doubts: tuple[SharedDoubt, ...]
    sections: tuple[Section, ...]  # in the order of `pipeline.report.tables.SECTIONS`

    def table(self, key: str) -> Table:
        """The table of one section. KeyError where there is none of this key."""
        return {section.key: section.table for section in self.sections}[key]


def cleaned(view: View) -> View:
    """Clean every text, also those that someone adds to View later."""
    return msgspec.convert(_each(msgspec.to_builtins(view)), View)


def _each(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: _each(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_each(item) for item in value]
    return value
