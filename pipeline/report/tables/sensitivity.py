"""How much accuracy each part of the model loses when it alone is changed."""

from pipeline import units
from pipeline.records import RunRecord, SensitivityPoint
from pipeline.report.trust import Trust
from pipeline.report.view import Column, Line, Shown, Table, Topic

TOPIC = Topic.MAKING
SHOWN = Shown.DETAILS
CHANGES = {
    "prune_channels": "channels pruned",
    "prune_weights": "weights pruned",
    "quantize": "bits of a weight",
}


def points_of(run: RunRecord) -> tuple[SensitivityPoint, ...]:
    """Return the points of the last pass that measured any."""
    found = [one.sensitivity for one in run.compressed.passes if one.sensitivity]
    return found[-1] if found else ()


def amount(change: str, value: float) -> str:
    """Word an amount: a share that is pruned, or a number of bits."""
    return f"{units.count(int(value))} bits" if change == "quantize" else units.percent(value)


def kept(point: SensitivityPoint) -> float | None:
    """What is shown of a point: accuracy where there are labels, else how often the answer stays the same."""
    return point.agreement_ratio if point.accuracy_ratio is None else point.accuracy_ratio


def table(run: RunRecord, _trust: Trust) -> Table:
    """A line for each part and kind of change, a column for each amount; the most sensitive part first."""
    points = points_of(run)
    amounts = sorted({(point.change, point.amount) for point in points}, key=lambda one: (one[0], mildness(*one)))
    rows: dict[str, dict[tuple[str, float], SensitivityPoint]] = {}
    for point in points:
        rows.setdefault(point.part, {})[point.change, point.amount] = point
    worst = {part: min((shown(point) for point in found.values()), default=0.0) for part, found in rows.items()}
    columns = [Column(heading="part")]
    columns += [
        Column(heading=f"{CHANGES.get(change, change)}: {amount(change, value)}", number=True, brief=False)
        for change, value in amounts
    ]
    lines = [
        Line(cells=(part, *(_cell(rows[part].get(one)) for one in amounts)))
        for part in sorted(rows, key=lambda part: worst[part])
    ]
    what = "Root mean square difference of the answers, in their own unit,"
    if any(point.accuracy_ratio is not None for point in points):
        what = "Accuracy"
    elif any(point.agreement_ratio is not None for point in points):
        what = "Share of rows with the same class as before"
    note = f"{what} when this part alone is changed and nothing is trained, on rows of the training set. The most sensitive part first."
    return Table(title="Sensitivity", columns=tuple(columns), lines=tuple(lines), note=note if lines else "")


def mildness(change: str, value: float) -> float:
    return -value if change == "quantize" else value


def shown(point: SensitivityPoint) -> float:
    ratio = kept(point)
    return -point.error if ratio is None else ratio


def _cell(point: SensitivityPoint | None) -> str:
    if point is None:
        return units.UNKNOWN
    ratio = kept(point)
    return f"error {units.number(point.error)}" if ratio is None else units.percent(ratio)
