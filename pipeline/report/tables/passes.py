"""What each pass took away, and what was found to be really there."""

import msgspec

from pipeline import units
from pipeline.records import RunRecord
from pipeline.report.tables._columns import table_of
from pipeline.report.trust import Trust
from pipeline.report.view import Shown, Table, Topic

TOPIC = Topic.MAKING
SHOWN = Shown.DETAILS


def table(run: RunRecord, _trust: Trust) -> Table:
    """What each pass took away, and what was found to be really there."""
    lines = [
        (
            one.name,
            _settings(one.settings),
            f"{units.count(one.parameters_before)} → {units.count(one.parameters_after)}",
            f"{units.count(one.nonzero_before)} → {units.count(one.nonzero_after)}",
            f"{units.size(one.deflated_before_bytes)} → {units.size(one.deflated_after_bytes)}",
            f"{units.percent(one.accuracy_before_ratio)} → {units.percent(one.accuracy_after_ratio)}",
            ", ".join(f"{name} {units.number(value)}" for name, value in one.claims.items()) or units.UNKNOWN,
            units.seconds(one.seconds),
        )
        for one in run.compressed.passes
    ]
    return table_of(
        "Compression passes",
        "pass|settings|parameters>|not zero>^|deflated>|accuracy>|checked|took>",
        lines,
        "Deflated: the weights after zlib, as in a compressed download. Checked: what was found to be there afterwards.",
    )


def _settings(settings: dict[str, object]) -> str:
    texts = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in settings.items()
    }
    return ", ".join(f"{name} = {text}" for name, text in texts.items()) or units.UNKNOWN
