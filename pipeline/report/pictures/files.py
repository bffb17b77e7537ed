"""The pictures of the page. What is invalid is not drawn; what is doubted is drawn hollow and marked "?"."""

import math
from collections.abc import Iterator
from itertools import accumulate

from pipeline import units
from pipeline.records import VARIANTS, Measurement, RunRecord
from pipeline.report.pictures import memory, pairs, power, sensitivity, timeline
from pipeline.report.pictures.svg import AXIS, LINE, ROW, WIDTH, Drawing, Picture, Scale, colour, scale_for
from pipeline.report.tables.board_facts import place
from pipeline.report.tables.tensors import one_inference
from pipeline.report.trust import DOUBTFUL, INVALID, Trust, asked_for, guarded, has_interval, mark_of

TAIL = 0.995  # a distribution is drawn up to this quantile: one preempted run would flatten all the others


def pictures(run: RunRecord) -> Iterator[Picture]:
    """Yield the pictures for which the run holds anything to draw."""
    trust = Trust(run)
    for of_pairs in (
        pairs.slower,
        pairs.together,
        pairs.tails,
        timeline.steadiness,
        pairs.more_energy,
        power.in_pairs,
        power.alone,
    ):
        if (picture := of_pairs(trust)) is not None:
            yield picture
    for draw in (sizes, accuracies, latencies, tradeoff, sensitivities, distributions, memory.memory):
        picture = draw(run)
        if picture is not None:
            yield picture


def variants(run: RunRecord) -> list[str]:
    """Return the variants of this run that have a colour of their own, for the legend."""
    present = {one.variant for one in run.converted} | {one.variant for one in run.measured.measurements}
    return [variant for variant in VARIANTS if variant in present]


def sizes(run: RunRecord) -> Picture | None:
    """Bars from zero."""
    model = run.loaded.model
    files = [("original", f"{model.name} as given ({model.artifact.format})", model.artifact.size_bytes)]
    files += [
        (one.variant, f"{one.variant} {one.format}", one.artifact.size_bytes)
        for one in run.converted
        if one.variant in VARIANTS
    ]
    words = ", ".join(f"{label}: {units.size(size_bytes)}" for _, label, size_bytes in files)
    drawing = Drawing("sizes", "How large is each file?", words, height=ROW * len(files))
    scale = Scale(low=0, high=max(size_bytes for *_, size_bytes in files) or 1)
    for number, (variant, label, size_bytes) in enumerate(files):
        y = number * ROW + LINE
        drawing.label(y, label, units.size(size_bytes))
        drawing.shape("rect", "track", x=0, y=y + 1, width=WIDTH, height=9)
        drawing.shape("rect", colour(variant), label, x=0, y=y + 1, width=max(1.5, scale.at(size_bytes)), height=9)
    return Picture(title=drawing.title, caption="Bars start at zero.", drawings=(drawing.svg(),))


def accuracies(run: RunRecord) -> Picture | None:
    """Dots, for bars that do not start at zero would lie."""
    known = [
        (one, one.accuracy.accuracy_ratio, *binomial(one.accuracy.accuracy_ratio, one.accuracy.rows))
        for one in run.measured.measurements
        if one.accuracy and one.accuracy.accuracy_ratio is not None and one.accuracy.rows
    ]
    if not known:
        return None
    source = run.loaded.model.accuracy_ratio
    ends = [end for *_, low, high in known for end in (low, high)] + ([source] if source is not None else [])
    air = 0.06 * (max(ends) - min(ends)) or 0.01
    scale = Scale(low=max(0, min(ends) - air), high=min(1, max(ends) + air))
    words = ", ".join(f"{one.label}: {units.percent(ratio)}" for one, ratio, *_ in known)
    drawing = Drawing(
        "accuracies", f"How often is each file right on {place(run)}?", words, height=ROW * len(known) + AXIS
    )
    bottom = ROW * len(known)
    drawing.axis(scale, 0, bottom, units.percent)
    if source is not None:
        drawing.line(scale.at(source), 0, scale.at(source), bottom, "reference", f"as given: {units.percent(source)}")
    for number, (one, ratio, low, high) in enumerate(known):
        y = number * ROW + LINE
        drawing.label(y, one.label, units.percent(ratio))
        note = f"{units.percent(ratio)}, {units.percent(low)} to {units.percent(high)}"
        drawing.line(scale.at(low), y + 7, scale.at(high), y + 7, f"interval {colour(one.variant)}", note)
        drawing.shape("circle", colour(one.variant), note, cx=scale.at(ratio), cy=y + 7, r=5)
    caption = (
        f"The axis runs from {units.percent(scale.low)} to {units.percent(scale.high)}, not from 0. Lines: binomial 95 % "
        "interval (Wilson) of the evaluation rows. All files answered the same rows, so their differences are more certain than "
        "the lines suggest."
    )
    if source is not None:
        caption += f" Dashed: the model as given, {units.percent(source)}."
    return Picture(title=drawing.title, caption=caption, drawings=(drawing.svg(),))


def latencies(run: RunRecord) -> Picture | None:
    """Each file in each runtime on one axis, with its interval."""
    every = asked_for(run)
    valid = [one for one in every if mark_of(one) != INVALID]
    if not valid:
        return None
    ends = [end for one in valid for end in (one.latency.low_s, one.latency.high_s, one.latency.median_s) if end > 0]
    scale = scale_for(min(ends), max(ends))
    names = list(dict.fromkeys(one.runtime for one in every))
    bottom = ROW * len(every) + (LINE + 10) * len(names)
    words = ", ".join(f"{one.label}: {_median(one)}" for one in every)
    drawing = Drawing("latencies", "How long does one inference take?", words, height=bottom + AXIS)
    drawing.axis(scale, LINE + 6, bottom, units.seconds)
    y = 0.0
    for name in names:
        drawing.text(0, y + LINE - 2, name, "group")
        y += LINE + 10
        for one in (one for one in every if one.runtime == name):
            drawing.label(y + LINE - 4, one.file, _median(one))
            _dot(drawing, scale, one, y + LINE + 3)
            y += ROW
    caption = f"Median over launches, of {one_inference(run)}; lines: its 95 % interval, often narrower than the dot. "
    caption += "Logarithmic axis: the range is more than tenfold." if scale.log else "The axis starts at zero."
    if any(mark_of(one) == DOUBTFUL for one in valid):
        caption += ' Hollow and "?": doubted.'
    return Picture(title=drawing.title, caption=caption, drawings=(drawing.svg(),))


def tradeoff(run: RunRecord) -> Picture | None:
    """Accuracy over latency, numbered as the rows of the results."""
    points = [
        (number, one, one.accuracy.accuracy_ratio)
        for number, one in enumerate(asked_for(run), start=1)
        if mark_of(one) != INVALID and one.accuracy and one.accuracy.accuracy_ratio is not None
    ]
    if len(points) < 2:
        return None
    times = [one.latency.median_s for _, one, _ in points]
    ratios = [ratio for *_, ratio in points]
    air = 0.15 * (max(ratios) - min(ratios)) or 0.01
    left, bottom = 62, 290
    across = scale_for(min(times), max(times), start=left, end=WIDTH - 12)
    up = Scale(low=max(0, min(ratios) - air), high=min(1, max(ratios) + air), start=bottom, end=10)
    words = ", ".join(f"{one.label}: {units.percent(ratio)} at {_median(one)}" for _, one, ratio in points)
    drawing = Drawing("tradeoff", "What does speed cost in accuracy?", words, height=bottom + AXIS)
    drawing.axis(across, 0, bottom, units.seconds)
    for value in up.ticks():
        drawing.line(left, up.at(value), WIDTH, up.at(value), "grid")
        drawing.text(left - 8, up.at(value) + 4, units.percent(value), "tick", "end")
    places = [(across.at(one.latency.median_s), up.at(ratio)) for _, one, ratio in points]
    taken = list(places)
    for (number, one, ratio), (x, y) in zip(points, places, strict=True):
        hollow = "hollow" if mark_of(one) == DOUBTFUL else ""
        note = f"{one.label}: {units.percent(ratio)} at {_median(one)}"
        drawing.shape("circle", f"{colour(one.variant)} {hollow}", note, cx=x, cy=y, r=5.5)
        around = [(x + 14, y), (x - 14, y), (x, y - 14), (x, y + 14), (x + 12, y - 12), (x - 12, y + 12)]
        free = next((spot for spot in around if all(math.dist(spot, other) > 12 for other in taken)), around[0])
        taken.append(free)
        drawing.text(free[0], free[1] + 4, units.count(number), "value", "middle")
    caption = "Up and to the left is better. Numbers are the rows of the results. Neither axis need start at zero."
    return Picture(title=drawing.title, caption=caption, drawings=(drawing.svg(),))


def sensitivities(run: RunRecord) -> Picture | None:
    """How sensitive each part of the model is, if a pass measured it."""
    drawn = tuple(drawing.svg() for drawing in sensitivity.drawings(run))
    return (
        Picture(title="Which parts of the model tolerate a change?", caption=sensitivity.CAPTION, drawings=drawn)
        if drawn
        else None
    )


def distributions(run: RunRecord) -> Picture | None:
    """Draw the times of all runs: a median hides two modes and a tail."""
    drawn = [one for one in asked_for(run) if mark_of(one) != INVALID and any(one.latency.histogram_counts)]
    if not drawn:
        return None
    caption = (
        "Each on its own axis. The long line is the median; the short ones below are the medians of the launches (fresh "
        "processes): where they stand apart, launches differ more than runs."
    )
    return Picture(
        title="Do all runs take the same time?",
        caption=caption,
        drawings=tuple(_distribution(number, one).svg() for number, one in enumerate(drawn)),
    )


def _distribution(number: int, one: Measurement) -> Drawing:
    steady, tall = one.latency, 44.0
    counts, edges = steady.histogram_counts, steady.histogram_edges_s
    reached = list(accumulate(counts))
    last = next(index for index, total in enumerate(reached) if total >= TAIL * reached[-1]) + 1
    launches = (*steady.launch_medians_s, steady.median_s)
    scale = Scale(low=min(edges[0], *launches), high=max(edges[last], *launches) or 1)
    base = LINE + 6 + tall
    beyond = reached[-1] - reached[last - 1]
    ends = guarded(units.seconds(scale.low), mark_of(one)), guarded(units.seconds(scale.high), mark_of(one))
    words = f"{units.counted(steady.runs, 'run')} from {ends[0]}, median {_median(one)}, {units.count(beyond)} beyond {ends[1]}"
    drawing = Drawing(f"distribution-{number}", one.label, words, height=base + 24)
    drawing.label(LINE - 4, one.label, f"median {_median(one)}")
    tallest = max(counts)
    outline = [(scale.at(edges[0]), base)]
    for index in range(last):
        y = base - tall * counts[index] / tallest
        outline += [(scale.at(edges[index]), y), (scale.at(edges[index + 1]), y)]
    drawing.area([*outline, (scale.at(edges[last]), base)], f"{colour(one.variant)} pale")
    drawing.line(0, base, WIDTH, base, "base")
    drawing.line(scale.at(steady.median_s), LINE + 2, scale.at(steady.median_s), base, "median", _median(one))
    for value in steady.launch_medians_s:
        drawing.line(
            scale.at(value), base, scale.at(value), base + 6, "launch", guarded(units.seconds(value), mark_of(one))
        )
    drawing.text(0, base + 19, ends[0], "tick")
    tail = f"; {units.count(beyond)} of {units.counted(reached[-1], 'run')} beyond" if beyond else ""
    drawing.text(WIDTH, base + 19, f"{ends[1]}{tail}", "tick", "end")
    return drawing


def binomial(ratio: float, rows: int) -> tuple[float, float]:
    """Wilson's score interval at 95 %: right also near 0 and 1 (Wilson 1927, JASA 22; Brown, Cai & DasGupta 2001)."""
    z = 1.96
    middle = (ratio + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(ratio * (1 - ratio) / rows + z * z / (4 * rows * rows))
    return max(0.0, middle - half), min(1.0, middle + half)


def _dot(drawing: Drawing, scale: Scale, one: Measurement, y: float) -> None:
    mark = mark_of(one)
    if mark == INVALID:
        return
    steady, own = one.latency, colour(one.variant)
    note = f"{_median(one)}, {guarded(units.interval(steady.low_s, steady.high_s), mark)}"
    if has_interval(one):
        drawing.line(scale.at(steady.low_s), y, scale.at(steady.high_s), y, f"interval {own}", note)
    hollow = "hollow" if mark == DOUBTFUL else ""
    drawing.shape("circle", f"{own} {hollow}", note, cx=scale.at(steady.median_s), cy=y, r=5)


def _median(one: Measurement) -> str:
    return guarded(units.seconds(one.latency.median_s), mark_of(one))
