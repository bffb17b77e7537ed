"""The picture of memory: what each step adds, the process's own apart from what is a file's."""

from pipeline import units
from pipeline.records import Measurement, MemoryStep, RunRecord
from pipeline.report.pictures.svg import AXIS, LINE, WIDTH, Drawing, Picture, Scale, colour
from pipeline.report.trust import DOUBTFUL, INVALID, asked_for, guarded, mark_about

TITLE = "Where does the memory go?"
LEFT, RIGHT = 112, 334  # of the bars; names of steps at their left, sizes at their right
BAR = 22


def memory(run: RunRecord) -> Picture | None:
    """Every file on the same scale. None where no kernel reported anything."""
    drawn = [one for one in asked_for(run) if _known(one) and mark_about(one.doubts, "memory") != INVALID]
    if not drawn:
        return None
    most = max(anonymous + file for one in drawn for _, anonymous, file in _known(one))
    caption = (
        "After each step, bars from zero, all files on one scale. Solid: anonymous, the process's own. Pale: file-backed, such as the runtime's "
        "library or a mapped model; the system can drop it and read it again."
    )
    if any(mark_about(one.doubts, "memory") == DOUBTFUL for one in drawn):
        caption += ' "?": doubted.'
    drawings = tuple(_drawing(f"memory-{number}", one, most).svg() for number, one in enumerate(drawn))
    return Picture(title=TITLE, caption=caption, drawings=drawings)


def _known(one: Measurement) -> list[tuple[MemoryStep, int, int]]:
    """Steps with both parts, in bytes."""
    return [
        (step, step.anonymous_bytes, step.file_bytes)
        for step in one.memory.steps
        if step.anonymous_bytes is not None and step.file_bytes is not None
    ]


def _drawing(name: str, one: Measurement, most: int) -> Drawing:
    steps, mark = _known(one), mark_about(one.doubts, "memory")
    answer = f"the model's own: {guarded(units.size(one.memory.model_anonymous_bytes), mark)}"
    top = 2 * LINE + 8
    bottom = top + BAR * len(steps)
    words = "; ".join(
        f"{step.step.replace('_', ' ')}: anonymous {units.size(anonymous)}, file-backed {units.size(file)}"
        for step, anonymous, file in steps
    )
    drawing = Drawing(name, f"{TITLE} {one.label}", words, height=bottom + AXIS)
    scale = Scale(low=0, high=most or 1, start=LEFT, end=RIGHT)
    drawing.text(0, LINE - 4, one.label, "label")  # on a line each: labels of files are long, and screens may be narrow
    drawing.text(0, 2 * LINE - 4, answer, "value")
    for number, (step, anonymous, file) in enumerate(steps):
        y = top + BAR * number
        split, end = scale.at(anonymous), scale.at(anonymous + file)
        name_of_step = step.step.replace("_", " ")
        drawing.text(LEFT - 8, y + 13, name_of_step, "tick", "end")
        drawing.shape(
            "rect",
            colour(one.variant),
            f"anonymous {units.size(anonymous)}",
            x=LEFT,
            y=y + 3,
            width=split - LEFT,
            height=13,
        )
        drawing.shape(
            "rect",
            f"{colour(one.variant)} paler",
            f"file-backed {units.size(file)}",
            x=split,
            y=y + 3,
            width=end - split,
            height=13,
        )
        sizes = f"{units.size(anonymous)} + {units.size(file)}"
        drawing.text(WIDTH, y + 13, guarded(sizes, mark), "tick", "end")
    drawing.text(LEFT, bottom + 12, "0 B", "tick", "middle")
    drawing.text(RIGHT, bottom + 12, units.size(most), "tick", "middle")
    drawing.line(LEFT, top, LEFT, bottom, "base")
    return drawing
