"""Power over time: what the energies are areas of. Drawn also where a reading is invalid, and marked: this is where to see why."""

from collections.abc import Iterator

from pipeline import metrics, units
from pipeline.records import EnergyPaired, EnergyReading, Measurement, PowerCurve, PowerSpan
from pipeline.report.pictures.svg import AXIS, LETTER, LINE, WIDTH, Drawing, Picture, Scale, colour
from pipeline.report.trust import INVALID, Trust, energy_mark_of, guarded

LEFT = 66
TOP, TALL = 2 * LINE + 8, 120  # of the curve
BELOW = TOP + TALL + 12  # what is there: its text stands clear of the lowest power's
STRIP = 12  # of the blocks of one side
AIR = 1.08  # above the highest power
ALONE = "How much power did it take, and when?"
PAUSE = " Where the line is broken nothing was read: the board's meters pause while the model warms up, and now and then, to see what reading them costs."
IN_PAIRS = "How did the power change while the two alternated?"


def alone(trust: Trust) -> Picture | None:
    """Each file under each meter, with what was measured and what was subtracted. None where no meter reported anything."""
    drawn = [
        (one, reading, reading.curve)
        for one in trust.measurements.values()
        for reading in one.energy.readings
        if reading.curve is not None
    ]
    if not drawn:
        return None
    caption = (
        "0 s is where the inferences that count begin. Dashed: the idle power, the mean of both idle times, which is "
        "subtracted; the net energy is the area between it and the line, within what is marked as measured."
    )
    drawings = tuple(_alone(f"power-{number}", *each).svg() for number, each in enumerate(drawn))
    return Picture(title=ALONE, caption=caption + _remarks(curve for *_, curve in drawn), drawings=drawings)


def in_pairs(trust: Trust) -> Picture | None:
    """One pair of each judged file. None without a limit on energy, and where no pair was run."""
    drawn = [(paired, paired.curve) for paired in trust.energy_paired if paired.curve is not None]
    if not drawn:
        return None
    caption = (
        "One pair of the file and its baseline, the first; where a pair's trace is invalid, that one. The strips are the blocks of the baseline "
        "(A) and of the candidate (B). Power is not energy: a file that takes more may finish sooner."
    )
    drawings = tuple(_in_pairs(f"power-pairs-{number}", *each, trust).svg() for number, each in enumerate(drawn))
    return Picture(title=IN_PAIRS, caption=caption + _remarks(curve for _, curve in drawn), drawings=drawings)


def _remarks(curves: Iterator[PowerCurve]) -> str:
    """A step at either end may be cut off by the trace's own."""
    return PAUSE if any(None in each.watts[1:-1] for each in curves) else ""


def _alone(name: str, one: Measurement, reading: EnergyReading, curve: PowerCurve) -> Drawing:
    mark = INVALID if reading.invalid else energy_mark_of(one)
    idle_w = window_w = None
    if reading.idle_before_w is not None and reading.idle_after_w is not None:
        idle_w = (reading.idle_before_w + reading.idle_after_w) / 2
    if reading.gross_j is not None and reading.window_s:
        window_w = reading.gross_j * reading.inferences / reading.window_s
    answer = guarded(f"{units.power(window_w)}, of it {units.power(idle_w)} idle", mark)
    words = f"{answer}; {reading.invalid or reading.rail}"
    drawing = Drawing(name, f"{ALONE} {one.label}, {reading.meter}", words, height=BELOW + AXIS)
    across = _plane(drawing, (one.label, reading.meter, answer), curve, BELOW)
    up = _up(curve, idle_w or 0.0)
    for span in curve.spans:
        style = "side-a faint" if span.what == "idle" else f"{colour(one.variant)} faint"
        _shade(drawing, across, span, style, "idle" if span.what == "idle" else "measured")
    _curve(drawing, curve, across, up)
    if idle_w is not None:
        drawing.line(LEFT, up.at(idle_w), WIDTH - 4, up.at(idle_w), "reference", f"idle: {units.power(idle_w)}")
    return drawing


def _in_pairs(name: str, paired: EnergyPaired, curve: PowerCurve, trust: Trust) -> Drawing:
    mark, verdict = trust.of_energy(paired), trust.verdict_of(paired, metrics.ENERGY)
    bottom = BELOW + 2 * (STRIP + 3)
    answer = guarded(verdict.outcome.value if verdict else "not judged", mark)
    if verdict and verdict.change is not None:
        answer = f"{guarded(f'{units.percent_change(verdict.change)} energy', mark)}  {verdict.outcome.value}"
    drawing = Drawing(name, f"{IN_PAIRS} {paired.subject.label}, {paired.meter}", answer, height=bottom + AXIS)
    across = _plane(drawing, (paired.subject.label, paired.meter, answer), curve, bottom)
    for span in curve.spans:
        if span.what == "idle":
            _shade(drawing, across, span, "side-a faint", "idle")
    _curve(drawing, curve, across, _up(curve))
    own = colour(paired.subject.variant)
    for side, word, style, y in (("A", "baseline", "side-a", BELOW), ("B", "candidate", own, BELOW + STRIP + 3)):
        drawing.text(LEFT - 8, y + STRIP - 2, word, "tick", "end")
        blocks = [(across.at(span.start_s), across.at(span.end_s)) for span in curve.spans if span.what == side]
        drawing.blocks(blocks, y, STRIP, style)
    return drawing


def _plane(drawing: Drawing, heading: tuple[str, str, str], curve: PowerCurve, bottom: float) -> Scale:
    """What is written above, and the axis of time."""
    label, meter, answer = heading
    drawing.text(0, LINE - 4, label, "group")
    drawing.label(2 * LINE, meter, answer)
    end_s = curve.start_s + curve.step_s * len(curve.watts)
    across = Scale(low=curve.start_s, high=end_s, start=LEFT, end=WIDTH - 4)
    drawing.axis(across, TOP, bottom, units.seconds)
    return across


def _up(curve: PowerCurve, idle_w: float = 0.0) -> Scale:
    """From zero, for energies are areas; a shunt that is the wrong way round reports less than that."""
    known = [watt for watt in curve.watts if watt is not None]
    return Scale(low=min([0.0, *known]), high=AIR * max([idle_w, *known, 0.0]) or 1.0, start=TOP + TALL, end=TOP)


def _shade(drawing: Drawing, across: Scale, span: PowerSpan, style: str, word: str) -> None:
    """A stretch of time, named where there is room."""
    left, right = across.at(span.start_s), across.at(span.end_s)
    drawing.shape("rect", style, word, x=left, y=TOP, width=max(0.4, right - left), height=TALL)
    if right - left > LETTER * len(word):
        drawing.text((left + right) / 2, TOP + TALL - 6, word, "tick", "middle")


def _curve(drawing: Drawing, curve: PowerCurve, across: Scale, up: Scale) -> None:
    """A line through the middles of the steps, in pieces where nothing was read."""
    drawing.ticks(up, LEFT, WIDTH - 4, units.power, most=4)
    piece: list[tuple[float, float]] = []
    for number, watt in enumerate((*curve.watts, None)):
        if watt is not None:
            piece.append((across.at(curve.start_s + (number + 0.5) * curve.step_s), up.at(watt)))
        elif piece:
            drawing.trace(piece, "trace")
            piece = []
