"""For programs: the RunRecord itself, `schema` first, nothing added and nothing left out."""

import msgspec

from pipeline.records import RunRecord
from pipeline.safe_text import clean_json
from pipeline.store import Store


def render(run: RunRecord, _store: Store) -> str:
    return clean_json(msgspec.json.format(msgspec.json.encode(run), indent=2).decode()) + "\n"
