"""Just enough to draw the pictures of the page: scales, ticks and escaped shapes.

matplotlib would do it, but weighs more than the whole base install, and what it draws cannot follow the reader's dark
or light theme. Colours are classes, which page.html.j2 defines; a number here is a coordinate, never text for people.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from pipeline.records import VARIANTS
from pipeline.safe_text import clean

WIDTH = 480  # of every picture, in its own units: near the pixels that it gets, so that text is read at its own size
LETTER = 8.2  # the width of a digit of a tick, at most (it is larger on narrow screens)
LINE = 18  # from one line of text to the next
ROW = 38  # a line of text and its track
AXIS = 20  # height of an axis with its values


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A question or a subject, and the drawings that answer it. Without drawings, the caption says why there is nothing to see."""

    title: str
    caption: str
    drawings: tuple[Markup, ...]


def colour(variant: str) -> str:
    """The class of a variant's colour."""
    return f"v-{variant}" if variant in VARIANTS else "v-other"


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Return the places of labels that would overlap, moved downwards until they are `gap` apart; in the same order."""
    moved = list(places)
    before = -math.inf
    for index in sorted(range(len(places)), key=lambda index: places[index]):
        before = moved[index] = max(places[index], before + gap)
    return moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Values -> horizontal places (or vertical ones: `start` may be above `end`)."""

    low: float
    high: float
    start: float = 0
    end: float = WIDTH
    log: bool = False

    def at(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values inside the scale: 1, 2 or 5 times a power of ten."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            decades = [10.0**power for power in range(first, last + 1)]
            fine = [decade * step for decade in decades for step in (1, 2, 5)]
            inside = [value for value in fine if self.low <= value <= self.high]
            if len(inside) <= 2 * most:
                return inside
            return [value for value in decades if self.low <= value <= self.high]
        raw = (self.high - self.low) / most
        power = 10 ** math.floor(math.log10(raw))
        step = next(size * power for size in (1, 2, 5, 10) if size * power >= raw)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def scale_for(low: float, high: float, *, start: float = 0, end: float = WIDTH) -> Scale:
    """From 0 if the values are within a factor of 10, else logarithmic with some air on both sides."""
    if high > 10 * low > 0:
        return Scale(low=low / 1.4, high=high * 1.4, start=start, end=end, log=True)
    return Scale(low=0, high=high * 1.05 or 1, start=start, end=end)


@dataclass(slots=True)
class Drawing:
    """Shapes, in the order in which they are drawn. Every text is cleaned and escaped here."""

    name: str  # unique on the page
    title: str
    description: str
    height: float = 0
    parts: list[Markup] = field(default_factory=list)

    def shape(self, tag: str, style: str, note: str = "", **places: float) -> None:
        """One SVG element. `note` is shown when a pointer rests on it."""
        attributes = Markup(" ").join(Markup('{}="{:.2f}"').format(key, value) for key, value in places.items())
        inside = Markup("<title>{}</title>").format(clean(note)) if note else Markup()
        self.parts.append(Markup('<{} class="{}" {}>{}</{}>').format(tag, style, attributes, inside, tag))

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str, note: str = "") -> None:
        self.shape("line", style, note, x1=x1, y1=y1, x2=x2, y2=y2)

    def text(self, x: float, y: float, words: str, style: str = "", anchor: str = "start") -> None:
        self.parts.append(
            Markup('<text class="{}" text-anchor="{}" x="{:.2f}" y="{:.2f}">{}</text>').format(
                style, anchor, x, y, clean(words)
            )
        )

    def label(self, y: float, left: str, right: str) -> None:
        """A line of text over a track: what it is, and its value."""
        self.text(0, y - 4, left, "label")
        self.text(WIDTH, y - 4, right, "value", "end")

    def trace(self, points: Sequence[tuple[float, float]], style: str) -> None:
        """One line through all points."""
        steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self.parts.append(Markup('<path class="{}" d="M{}"/>').format(style, steps))

    def blocks(self, spans: Sequence[tuple[float, float]], y: float, height: float, style: str) -> None:
        """Hundreds of rectangles in one element, from left to right of each span, and wide enough to be seen."""
        steps = "".join(
            f"M{left:.1f} {y:.1f}h{max(0.4, right - left):.1f}v{height:.0f}H{left:.1f}z" for left, right in spans
        )
        self.parts.append(Markup('<path class="{}" d="{}"/>').format(style, steps))

    def ticks(self, scale: Scale, left: float, right: float, words: Callable[[float], str], most: int = 5) -> None:
        """Horizontal grid lines with their values before them; a value that has no room is left out."""
        taken: list[float] = []
        for value in scale.ticks(most):
            y = scale.at(value)
            self.line(left, y, right, y, "grid")
            if all(abs(y - other) >= LINE for other in taken):
                self.text(left - 8, y + 4, words(value), "tick", "end")
                taken.append(y)

    def area(self, points: list[tuple[float, float]], style: str) -> None:
        path = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
        self.parts.append(Markup('<polygon class="{}" points="{}"/>').format(style, path))

    def axis(self, scale: Scale, top: float, bottom: float, words: Callable[[float], str]) -> None:
        """Vertical grid lines with their values below, powers of ten first; a value that has no room is left out."""
        taken: list[tuple[float, float]] = []
        for value in sorted(scale.ticks(), key=lambda value: (value <= 0 or math.log10(value) % 1 > 1e-9, value)):
            x, label = scale.at(value), words(value)
            self.line(x, top, x, bottom, "grid")
            half = LETTER / 2 * len(label)
            place = min(max(x, half), WIDTH - half)
            if all(abs(place - other) > half + width + LETTER for other, width in taken):
                self.text(place, bottom + 14, label, "tick", "middle")
                taken.append((place, half))

    def svg(self) -> Markup:
        """The whole picture. A screen reader reads its title and description."""
        return Markup(
            '<svg viewBox="0 0 {} {:.0f}" role="img" aria-labelledby="{}-title {}-desc">'
            '<title id="{}-title">{}</title><desc id="{}-desc">{}</desc>{}</svg>'
        ).format(
            WIDTH,
            self.height,
            *([self.name] * 3),
            clean(self.title),
            self.name,
            clean(self.description),
            Markup().join(map(escape, self.parts)),
        )
