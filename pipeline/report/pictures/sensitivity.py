"""How much accuracy each part of the model loses when it alone is changed: a row for each part, a dot for each amount."""

from collections.abc import Iterator

from pipeline import units
from pipeline.records import RunRecord, SensitivityPoint
from pipeline.report.pictures.svg import LINE, WIDTH, Drawing, Scale
from pipeline.report.tables.sensitivity import CHANGES, amount, kept, mildness, points_of, shown

ROW = 30
DOTS = (2.5, 7.0)  # radius of the mildest and of the strongest change
CAPTION = (
    "One row for each part, the most sensitive first; a dot for each amount, larger the more is taken away, at the accuracy that is left "
    "when this part alone is changed and nothing is trained. The axis does not start at zero."
)


def drawings(run: RunRecord) -> Iterator[Drawing]:
    """One for each kind of change: a row for each part, a dot for each amount."""
    points = points_of(run)
    for change, title in CHANGES.items():
        mine = [point for point in points if point.change == change and kept(point) is not None]
        if mine:
            yield _drawing(change, title, mine)


def _drawing(change: str, title: str, points: list[SensitivityPoint]) -> Drawing:
    values = [kept(point) or 0.0 for point in points]
    parts = sorted({point.part for point in points}, key=lambda part: min(shown(p) for p in points if p.part == part))
    amounts = sorted({point.amount for point in points}, key=lambda value: mildness(change, value))
    air = 0.04 * (max(values) - min(values)) or 0.01
    scale = Scale(low=max(0, min(values) - air), high=min(1, max(values) + air), start=8, end=WIDTH - 8)
    bottom = ROW * len(parts) + LINE
    words = ", ".join(f"{point.part} {amount(change, point.amount)}: {units.percent(kept(point))}" for point in points)
    drawing = Drawing(f"sensitivity-{change}", f"Sensitivity: {title}", words, height=bottom + LINE + 8)
    drawing.axis(scale, LINE + 4, bottom, units.percent)
    small, large = DOTS
    drawing.text(0, 0.8 * LINE, f"{title}: {', '.join(amount(change, value) for value in amounts)}", "group")
    for number, part in enumerate(parts):
        y = number * ROW + 2 * LINE + 6
        drawing.text(0, y - 7, part, "label")
        own = [point for point in points if point.part == part]
        places = [scale.at(kept(point) or 0.0) for point in own]
        drawing.line(min(places), y, max(places), y, "interval v-compressed")
        for point, x in zip(own, places, strict=True):
            strength = (amounts.index(point.amount) + 1) / len(amounts)
            note = f"{part}, {amount(change, point.amount)}: {units.percent(kept(point))}"
            drawing.shape("circle", "v-compressed", note, cx=x, cy=y, r=small + strength * (large - small))
    return drawing
