"""Pictures of what was measured in pairs. What is invalid is not drawn; what is doubted is drawn hollow and marked "?"."""

import math
from collections.abc import Callable

from pipeline import metrics, units
from pipeline.records import EnergyPaired, Paired, Quantile, Verdict
from pipeline.report.pictures.svg import AXIS, LINE, WIDTH, Drawing, Picture, Scale, apart, colour, scale_for
from pipeline.report.tables.judged import NOT_JUDGED, change_interval, tail
from pipeline.report.tables.quantiles import QUANTILES
from pipeline.report.trust import DOUBTFUL, INVALID, Trust, guarded, level_of

LEFT, RIGHT = 72, 334  # of the pairs; what stands at their right names the lines
TOP, TALL = 2 * LINE + 14, 170
SLOWER, MORE_ENERGY = "Did it get slower?", "Did it use more energy?"
GAP = 15  # between two labels of lines


def slower(trust: Trust) -> Picture | None:
    """The numbers that the verdict rests on, and what they were held against."""
    caption = (
        "Each dot is a pair, in the order in which they were measured: how much longer the candidate took. The bar and the band: the "
        f"change and its {level_of(by_test=True)} interval. REGRESSED: the interval is above the limit (or the smaller margin); PASS: it is below the limit."
    )
    return _picture(SLOWER, caption, trust, _slower)


def more_energy(trust: Trust) -> Picture | None:
    """The same for energy. None without a limit on it, and where no pair could be trusted."""
    drawn = [each for each in trust.energy_paired if each.log_ratios and trust.of_energy(each) != INVALID]
    if not drawn:
        return None
    caption = (
        "Each dot is a pair under one power meter, in the order in which they were measured: how much more net energy an inference of the candidate "
        f"took. The bar and the band: the change and its {level_of(by_test=True)} interval. REGRESSED: the interval is above the limit (or the smaller margin); PASS: it is below the limit."
    )
    if any(trust.of_energy(each) == DOUBTFUL for each in drawn):
        caption += ' Hollow and "?": doubted.'
    drawings = tuple(_more_energy(f"more_energy-{number}", each, trust).svg() for number, each in enumerate(drawn))
    return Picture(title=MORE_ENERGY, caption=caption, drawings=drawings)


def together(trust: Trust) -> Picture | None:
    """Why pairs: what the board does to one side, it does to the other."""
    caption = (
        "Each line is a pair: the baseline (square) and the candidate (dot), by the 10th percentile of all inferences of the pair. Where both "
        "rise or fall together the board changed, and not the file. The axis need not start at zero."
    )
    return _picture("How do the two files' times differ, pair by pair?", caption, trust, _together)


def tails(trust: Trust) -> Picture | None:
    """What a low quantile cannot see."""
    caption = (
        "Quantiles of every inference of all pairs, with their 95 % intervals; above the baseline (square), below the candidate (dot). Only p95 "
        "and p99 have a limit of their own, a looser one: other programs on the board lengthen a tail, too."
    )
    return _picture("Are the slow inferences slower, too?", caption, trust, _tails)


def _picture(title: str, caption: str, trust: Trust, draw: Callable[[str, Paired, Trust], Drawing]) -> Picture | None:
    drawn = [paired for paired in trust.paired.values() if trust.of_pairs(paired) != INVALID]
    if not drawn:
        return None
    if any(trust.of_pairs(paired) == DOUBTFUL for paired in drawn):
        caption += ' Hollow and "?": doubted.'
    named = ((f"{draw.__name__.strip('_')}-{number}", paired) for number, paired in enumerate(drawn))
    drawings = tuple(draw(name, paired, trust).svg() for name, paired in named)
    return Picture(title=title, caption=caption, drawings=drawings)


def _slower(name: str, paired: Paired, trust: Trust) -> Drawing:
    effect = trust.effect_of(paired)
    known = effect is not None and trust.has_interval(effect)
    ends = [effect.latency_low - 1, effect.latency_high - 1] if effect and known else []
    change = effect.latency_ratio - 1 if effect else None
    return _changes(name, SLOWER, paired, trust.verdict_of(paired), change, ends, trust.of_pairs(paired))


def _more_energy(name: str, paired: EnergyPaired, trust: Trust) -> Drawing:
    verdict = trust.verdict_of(paired, metrics.ENERGY)
    change = verdict.change if verdict else None
    ends = [verdict.low, verdict.high] if verdict and verdict.low is not None and verdict.high is not None else []
    return _changes(name, MORE_ENERGY, paired, verdict, change, ends, trust.of_energy(paired))


def _changes(
    name: str,
    question: str,
    paired: Paired | EnergyPaired,
    verdict: Verdict | None,
    change: float | None,
    ends: list[float],
    mark: str,
) -> Drawing:
    """Each pair's change, that of all with its interval (`ends`, or []), and what they are held against."""
    margin, limit = paired.margin, paired.limit
    if verdict is not None and verdict.margin is not None:
        margin, limit = verdict.margin, verdict.limit
    changes = [math.expm1(value) for value in paired.log_ratios]
    bounds = [(limit, f"limit {units.percent_change(limit)}")]
    if margin < limit:
        bounds.append((margin, f"margin {units.percent_change(margin)}"))
    words = ", ".join((f"{units.count(len(changes))} pairs", *(name for _, name in bounds)))
    answer = verdict.outcome.value if verdict else NOT_JUDGED
    if change is not None:
        said = guarded(units.percent_change(change), mark)
        answer = f"{said}  {answer}"
        words = f"{said} by {words}" + (f", interval {guarded(change_interval(*ends), mark)}" if ends else "")
    drawing = Drawing(name, f"{question} {paired.subject.label}: {answer}", words, height=TOP + TALL + AXIS)
    _heading(drawing, paired, answer)
    low, high = min(0.0, *changes, *ends), max(limit, *changes, *ends)
    air = 0.06 * (high - low)
    scale = Scale(low=low - air, high=high + air, start=TOP + TALL, end=TOP)
    drawing.ticks(scale, LEFT, RIGHT, units.percent_change, most=4)
    own = colour(paired.subject.variant)
    if ends:
        top, bottom = scale.at(ends[1]), scale.at(ends[0])
        drawing.shape("rect", f"{own} faint", x=LEFT, y=top, width=RIGHT - LEFT, height=max(1.0, bottom - top))
        note = guarded(change_interval(*ends), mark)
        drawing.line(RIGHT - 16, top, RIGHT - 16, bottom, f"interval {own}", note)
    _levels(drawing, scale, [*bounds, (0.0, "no change")])
    for number, (at, x) in enumerate(zip(changes, _across(len(changes)), strict=True), start=1):
        note = f"pair {units.count(number)}: {guarded(units.percent_change(at), mark)}"
        drawing.shape("circle", f"{own}{_hollow(mark)}", note, cx=x, cy=scale.at(at), r=4.5)
    if change is not None:
        drawing.shape("circle", f"{own}{_hollow(mark)}", answer, cx=RIGHT - 16, cy=scale.at(change), r=6)
        drawing.text(RIGHT - 16, TOP + TALL + 14, "change", "tick", "middle")
    _order(drawing, len(changes))
    return drawing


def _heading(drawing: Drawing, paired: Paired | EnergyPaired, answer: str) -> None:
    """On a line each: labels of files are long, and screens may be narrow."""
    drawing.text(0, LINE - 4, paired.subject.label, "label")
    drawing.text(0, 2 * LINE - 4, answer, "value")


def _levels(drawing: Drawing, scale: Scale, levels: list[tuple[float, str]]) -> None:
    """Named horizontal lines. Where the scale brings them together, their names are drawn apart and tied to them."""
    names = apart([scale.at(value) for value, _ in levels], GAP)
    down = max(0.0, max(names) - (TOP + TALL))  # no lower than the axis
    for (level, name), place in zip(levels, names, strict=True):
        y = scale.at(level)
        drawing.line(LEFT, y, RIGHT, y, "reference" if level else "base", name)
        drawing.line(RIGHT, y, RIGHT + 10, place - down, "base")
        drawing.text(RIGHT + 14, place - down + 4, name, "tick")


def _together(name: str, paired: Paired, trust: Trust) -> Drawing:
    mark, own = trust.of_pairs(paired), colour(paired.subject.variant)
    sides = (paired.baseline.pair_p10_s, paired.candidate.pair_p10_s)
    slower_pairs = sum(1 for value in paired.log_ratios if value > 0)
    answer = f"slower in {units.count(slower_pairs)} of {units.count(len(paired.log_ratios))} pairs"
    middles = [sorted(side)[len(side) // 2] for side in sides]
    named = [
        f"{side} {guarded(units.seconds(at), mark)}"
        for side, at in zip(("■ baseline", "● candidate"), middles, strict=True)
    ]
    drawing = Drawing(
        name, f"{paired.subject.label}, pair by pair", f"{answer}; {', '.join(named)}", height=TOP + TALL + AXIS
    )
    _heading(drawing, paired, guarded(answer, mark))
    scale = _times([value for side in sides for value in side], start=TOP + TALL, end=TOP)
    drawing.ticks(scale, LEFT, RIGHT, units.seconds, most=4)
    places = _across(len(paired.log_ratios))
    for number, (x, a_s, b_s) in enumerate(zip(places, *sides, strict=False), start=1):
        a, b = scale.at(a_s), scale.at(b_s)
        note = f"pair {units.count(number)}: {' to '.join(guarded(units.seconds(value), mark) for value in (a_s, b_s))}"
        drawing.line(x, a, x, b, "stem", note)
        drawing.shape("rect", f"side-a{_hollow(mark)}", note, x=x - 3.5, y=a - 3.5, width=7, height=7)
        drawing.shape("circle", f"{own}{_hollow(mark)}", note, cx=x, cy=b, r=4.5)
    for words, place in zip(named, apart([scale.at(value) for value in middles], GAP), strict=True):
        drawing.text(RIGHT + 8, place + 4, words, "tick")
    _order(drawing, len(paired.log_ratios))
    return drawing


def _tails(name: str, paired: Paired, trust: Trust) -> Drawing:
    mark, own, row = trust.of_pairs(paired), colour(paired.subject.variant), 46
    sides = [{each.percent: each for each in side.quantiles} for side in (paired.baseline, paired.candidate)]
    shown = [percent for percent in QUANTILES if all(percent in side for side in sides)]
    ends = [end for side in sides for percent in shown for end in _ends(side[percent])]
    bottom = LINE + 6 + row * len(shown)
    described = []
    drawing = Drawing(name, f"The slow inferences of {paired.subject.label}", "", height=bottom + AXIS)
    scale = scale_for(min(ends), max(ends), start=8, end=WIDTH - 8) if ends else Scale(low=0, high=1)
    drawing.axis(scale, LINE + 4, bottom, units.seconds)
    drawing.text(0, LINE - 4, paired.subject.label, "group")
    for number, percent in enumerate(shown):
        y = LINE + 6 + number * row
        a, b = (side[percent] for side in sides)
        values = " to ".join(guarded(units.seconds(one.value_s), mark) for one in (a, b))
        verdict = trust.verdict_of(paired, metrics.TAIL, percent)
        words = f"p{units.count(percent)}: {values}"
        described.append(words)
        drawing.text(0, y + 14, words, "label")
        if verdict is not None or percent not in {50, 90}:
            drawing.text(WIDTH, y + 14, tail(paired, percent, trust).partition(":")[0], "value", "end")
        for one, down, style in ((a, 24, "side-a"), (b, 35, own)):
            note = f"{units.seconds(one.value_s)}, {units.interval(one.low_s, one.high_s)}"
            if one.low_s is not None and one.high_s is not None:
                drawing.line(scale.at(one.low_s), y + down, scale.at(one.high_s), y + down, f"interval {style}", note)
            x = scale.at(one.value_s)
            if style == "side-a":
                drawing.shape("rect", f"side-a{_hollow(mark)}", note, x=x - 4, y=y + down - 4, width=8, height=8)
            else:
                drawing.shape("circle", f"{style}{_hollow(mark)}", note, cx=x, cy=y + down, r=4.5)
    drawing.description = "; ".join(described)
    return drawing


def _ends(one: Quantile) -> list[float]:
    return [end for end in (one.value_s, one.low_s, one.high_s) if end is not None]


def _times(values: list[float], *, start: float, end: float) -> Scale:
    """The scale of the times themselves: on one from zero the differences could not be seen."""
    low, high = min(values), max(values)
    if high > 10 * low:
        return scale_for(low, high, start=start, end=end)
    air = 0.08 * (high - low) or 0.1 * high or 1.0
    return Scale(low=max(0.0, low - air), high=high + air, start=start, end=end)


def _across(pairs: int) -> list[float]:
    """Places of the pairs, and room for the change at their right."""
    step = (RIGHT - LEFT - 60) / max(pairs, 1)
    return [LEFT + 4 + step * (number + 0.5) for number in range(pairs)]


def _order(drawing: Drawing, pairs: int) -> None:
    places = _across(pairs)
    drawing.text(places[0], TOP + TALL + 14, "pair 1", "tick", "middle")
    drawing.text(places[-1], TOP + TALL + 14, units.count(pairs), "tick", "middle")


def _hollow(mark: str) -> str:
    return " hollow" if mark == DOUBTFUL else ""
