"""What each part of the model bears: a table, and a picture with a line for each part."""

from collections.abc import Iterator

from pipeline import units
from pipeline.records import RunRecord, SensitivityPoint
from pipeline.report.svg import LINE, WIDTH, Drawing, Scale
from pipeline.report.view import Column, Line, Table

CHANGES = {
    "prune_channels": "channels pruned",
    "prune_weights": "weights pruned",
    "quantize": "bits of a weight",
}


ROW = 30
DOTS = (2.5, 7.0)  # radius of the mildest and of the strongest change
CAPTION = (
    "One row for each part, the most sensitive first; a dot for each amount, larger the more is taken away, at the accuracy that is left "
    "when this part alone is changed and nothing is trained. The axis does not start at zero."
)


def points_of(run: RunRecord) -> tuple[SensitivityPoint, ...]:
    """Of the last pass that measured any."""
    found = [one.sensitivity for one in run.compressed.passes if one.sensitivity]
    return found[-1] if found else ()


def _amount(change: str, value: float) -> str:
    """A share that is pruned, or a number of bits."""
    return f"{units.count(int(value))} bits" if change == "quantize" else units.percent(value)


def kept(point: SensitivityPoint) -> float | None:
    """What is shown of a point: accuracy where there are labels, else how often the answer stays the same."""
    return point.agreement_ratio if point.accuracy_ratio is None else point.accuracy_ratio


def table(run: RunRecord) -> Table:
    """A line for each part and kind of change, a column for each amount; the most sensitive part first."""
    points = points_of(run)
    amounts = sorted({(point.change, point.amount) for point in points}, key=lambda one: (one[0], _mildness(*one)))
    rows: dict[str, dict[tuple[str, float], SensitivityPoint]] = {}
    for point in points:
        rows.setdefault(point.part, {})[point.change, point.amount] = point
    worst = {part: min((_shown(point) for point in found.values()), default=0.0) for part, found in rows.items()}
    columns = [Column(heading="part")]
    columns += [
        Column(heading=f"{CHANGES.get(change, change)}: {_amount(change, value)}", number=True, brief=False)
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


def _mildness(change: str, value: float) -> float:
    return -value if change == "quantize" else value


def _shown(point: SensitivityPoint) -> float:
    ratio = kept(point)
    return -point.error if ratio is None else ratio


def _cell(point: SensitivityPoint | None) -> str:
    if point is None:
        return units.UNKNOWN
    ratio = kept(point)
    return f"error {units.number(point.error)}" if ratio is None else units.percent(ratio)


def drawings(run: RunRecord) -> Iterator[Drawing]:
    """One for each kind of change: a row for each part, a dot for each amount."""
    points = points_of(run)
    for change, title in CHANGES.items():
        mine = [point for point in points if point.change == change and kept(point) is not None]
        if mine:
            yield _drawing(change, title, mine)


def _drawing(change: str, title: str, points: list[SensitivityPoint]) -> Drawing:
    shown = [kept(point) or 0.0 for point in points]
    parts = sorted({point.part for point in points}, key=lambda part: min(_shown(p) for p in points if p.part == part))
    amounts = sorted({point.amount for point in points}, key=lambda value: _mildness(change, value))
    air = 0.04 * (max(shown) - min(shown)) or 0.01
    scale = Scale(low=max(0, min(shown) - air), high=min(1, max(shown) + air), start=8, end=WIDTH - 8)
    bottom = ROW * len(parts) + LINE
    words = ", ".join(f"{point.part} {_amount(change, point.amount)}: {units.percent(kept(point))}" for point in points)
    drawing = Drawing(f"sensitivity-{change}", f"Sensitivity: {title}", words, height=bottom + LINE + 8)
    drawing.axis(scale, LINE + 4, bottom, units.percent)
    small, large = DOTS
    drawing.text(0, 0.8 * LINE, f"{title}: {', '.join(_amount(change, value) for value in amounts)}", "group")
    for number, part in enumerate(parts):
        y = number * ROW + 2 * LINE + 6
        drawing.text(0, y - 7, part, "label")
        own = [point for point in points if point.part == part]
        places = [scale.at(kept(point) or 0.0) for point in own]
        drawing.line(min(places), y, max(places), y, "interval v-compressed")
        for point, x in zip(own, places, strict=True):
            strength = (amounts.index(point.amount) + 1) / len(amounts)
            note = f"{part}, {_amount(change, point.amount)}: {units.percent(kept(point))}"
            drawing.shape("circle", "v-compressed", note, cx=x, cy=y, r=small + strength * (large - small))
    return drawing
