"""The board while pairs were measured: what could have made one side slower than the other, other than the file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from pipeline import units
from pipeline.records import BoardSample, Paired
from pipeline.report.pictures.svg import AXIS, LINE, WIDTH, Drawing, Picture, Scale, colour
from pipeline.report.trust import INVALID, Trust

LEFT = 66
TALL = 56  # of a lane
LANE = TALL + LINE + 12
STRIP = 12  # of the blocks of one side
TITLE = "Was the board the same all the time?"


@dataclass(frozen=True, slots=True)
class Lane:
    """One thing over time. A meter's power is not among them: it is read in pairs of its own (pipeline/report/pictures/power.py)."""

    name: str
    of: Callable[[BoardSample], float | None]
    words: Callable[[float], str]
    least: float  # the axis spans at least this share of the mean: what is steady should look so


LANES = (
    Lane("temperature", lambda sample: sample.temperature_c, units.temperature, 0.1),
    Lane("clock", lambda sample: sample.cpu_khz, lambda khz: units.frequency(int(khz)), 0.1),
)


def steadiness(trust: Trust) -> Picture | None:
    """Draw the board of each pair, also where the times are invalid: this picture shows why."""
    every = [paired for paired in trust.paired.values() if paired.board_samples]
    if not every:
        return None
    drawn = [(paired, _known(paired)) for paired in every if _known(paired)]
    if not drawn:
        caption = "This board reports neither its temperature nor its clock: whether they stayed the same is not known."
        return Picture(title=TITLE, caption=caption, drawings=())
    caption = "Read after each block. The strips are the blocks of the baseline (A) and of the candidate (B); the gaps, processes that start."
    silent = [lane.name for lane in LANES if all(lane not in known for _, known in drawn)]
    caption += f" This board does not report its {silent[0]}." if silent else ""
    drawings = tuple(
        _drawing(f"steady-{number}", paired, known, trust).svg() for number, (paired, known) in enumerate(drawn)
    )
    return Picture(title=TITLE, caption=caption, drawings=drawings)


def _known(paired: Paired) -> list[Lane]:
    return [lane for lane in LANES if any(lane.of(sample) is not None for sample in paired.board_samples)]


def _drawing(name: str, paired: Paired, lanes: Sequence[Lane], trust: Trust) -> Drawing:
    samples = paired.board_samples
    across = Scale(low=0, high=max(sample.end_s for sample in samples) or 1, start=LEFT, end=WIDTH - 4)
    strips = LINE + 8 + LANE * len(lanes)
    bottom = strips + 2 * (STRIP + 3)
    words = "; ".join(f"{lane.name}: {_range(lane, samples)}" for lane in lanes)
    drawing = Drawing(name, f"{TITLE} {paired.subject.label}", words, height=bottom + AXIS)
    drawing.axis(across, LINE + 8, bottom, units.seconds)
    drawing.text(0, LINE - 4, paired.subject.label, "group")
    if trust.of_pairs(paired) == INVALID:
        drawing.text(WIDTH, LINE - 4, INVALID, "value", "end")
    own = colour(paired.subject.variant)
    for number, lane in enumerate(lanes):
        _lane(drawing, lane, samples, across, LINE + 8 + LANE * number)
    for side, style, y in (("A", "side-a", strips), ("B", own, strips + STRIP + 3)):
        drawing.text(LEFT - 8, y + STRIP - 2, {"A": "baseline", "B": "candidate"}[side], "tick", "end")
        spans = [(across.at(one.t_s), across.at(one.end_s)) for one in samples if one.side == side]
        drawing.blocks(spans, y, STRIP, style)
    return drawing


def _lane(drawing: Drawing, lane: Lane, samples: Sequence[BoardSample], across: Scale, top: float) -> None:
    known = [(sample.end_s, value) for sample in samples if (value := lane.of(sample)) is not None]
    values = [value for _, value in known]
    middle = fmean(values)
    half = max(max(values) - middle, middle - min(values), lane.least * abs(middle) / 2) * 1.1 or 1
    scale = Scale(low=middle - half, high=middle + half, start=top + LINE + 4 + TALL, end=top + LINE + 4)
    drawing.label(top + LINE, lane.name, _range(lane, samples))
    drawing.ticks(scale, LEFT, WIDTH - 4, lane.words, most=3)
    steps = [(across.at(t_s), scale.at(value)) for t_s, value in known]
    kept = [one for index, one in enumerate(steps) if _turns(steps, index)]
    drawing.trace(kept, "trace")


def _turns(steps: Sequence[tuple[float, float]], index: int) -> bool:
    """Whether the line needs this point: most samples equal their neighbours."""
    near = steps[max(index - 1, 0) : index + 2]
    return index in {0, len(steps) - 1} or any(y != steps[index][1] for _, y in near)


def _range(lane: Lane, samples: Sequence[BoardSample]) -> str:
    """What it was from least to most, and on average for either side: the two should be equal."""
    values = [value for sample in samples if (value := lane.of(sample)) is not None]
    ends = list(dict.fromkeys((lane.words(min(values)), lane.words(max(values)))))
    whole = f"{' to '.join(ends)}{' throughout' if len(ends) == 1 else ''}"
    means = []
    for side in ("A", "B"):
        own = [value for one in samples if one.side == side and (value := lane.of(one)) is not None]
        if own:
            means.append(f"{side} {lane.words(fmean(own))}")
    return f"{whole}; mean {', '.join(means)}" if len(ends) > 1 else whole
