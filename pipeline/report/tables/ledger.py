"""The ledger: what each pass of the chain did to the model, its accuracy, and its latency on the board."""

import math
from collections.abc import Iterator, Sequence

from pipeline import units
from pipeline.records import UNTRAINED, Comparison, Measurement, Model, PassReport, RunRecord, Step, quality_of
from pipeline.report.tables import quality as quality_table
from pipeline.report.trust import DOUBTFUL, INVALID, Trust, guarded, mark_of
from pipeline.report.view import Column, Finding, Line, Shown, Table, Topic

TOPIC = Topic.LEDGER
SHOWN = Shown.BRIEF
COLUMNS = (
    Column(heading="after"),
    Column(heading="parameters", number=True),
    Column(heading="not zero", number=True, brief=False),
    Column(heading="MACs", number=True),
    Column(heading="raw", number=True),
    Column(heading="deflated", number=True),
    Column(heading="container", number=True, brief=False),
)
WIDEST = 0.1
"""The widest interval that may be called "not faster": a wider one could hide a gain of 5 %, which is worth having."""
NOTE = (
    "Each line is the model after that pass. MACs: multiply-accumulates of one inference. Raw: the weights; deflated: the weights after "
    "zlib, as in a compressed download; container: the pass's own packed form. {quality}: of the model on the host, before conversion. "
    "Latency: the median over launches."
)


def table(run: RunRecord, trust: Trust) -> Table:
    """One line for the model as it was loaded, one for each pass; a column for each format in each runtime."""
    passes, metrics = run.compressed.passes, quality_table.titles(run) or {"": "accuracy"}
    qualities = tuple(Column(heading=each, number=True) for each in metrics.values())
    places = list(dict.fromkeys((one.format, one.runtime) for one in run.measured.measurements if one.of_step)) or [
        (one.format, one.runtime) for one in run.measured.measurements if one.variant == "compressed" and not one.swept
    ]
    places.sort(key=lambda place: _fastest(trust, place))
    columns = tuple(
        Column(heading=f"{format_name} on {runtime}", number=True, brief=number == 0)
        for number, (format_name, runtime) in enumerate(places)
    )
    lines = []
    if passes:
        first = passes[0]
        size = (
            first.parameters_before,
            first.nonzero_before,
            first.multiply_accumulates_before,
            first.raw_before_bytes,
            first.deflated_before_bytes,
        )
        lines.append(
            _line("(the model as given)", size, "", _qualities(run.loaded.model, run), "original", places, trust)
        )
    for number, one in enumerate(passes, start=1):
        size = (
            one.parameters_after,
            one.nonzero_after,
            one.multiply_accumulates_after,
            one.raw_after_bytes,
            one.deflated_after_bytes,
        )
        container = units.size(one.container.size_bytes) if one.container else ""
        lines.append(
            _line(
                f"{number} {one.name}",
                size,
                container,
                _qualities(one.model, run),
                _variant(run, number),
                places,
                trust,
            )
        )
    return Table(
        title="Ledger of the passes",
        columns=(*COLUMNS, *qualities, *columns),
        lines=tuple(lines),
        note=NOTE.format(quality=_at_the_beginning(list(metrics.values()))) if lines else "",
    )


def _at_the_beginning(metrics: Sequence[str]) -> str:
    """Return what begins a sentence: of several tasks the names are the user's, and stay as they are written."""
    return f"{metrics[0][:1].upper()}{metrics[0][1:]}" if len(metrics) == 1 else "The metrics"


def _qualities(model: Model, run: RunRecord) -> tuple[str, ...]:
    """Return the metric of each task on the host; without a task the accuracy."""
    tasks = run.loaded.data.tasks
    if not tasks:
        return (units.percent(model.accuracy_ratio),)
    return tuple(quality_table.value(quality_of(model.qualities, each), each) for each in tasks)


def _fastest(trust: Trust, place: tuple[str, str]) -> float:
    """Return what the compressed model takes there. Places are sorted by it: the terminal has room for one column."""
    return min(
        (
            one.latency.median_s
            for one in trust.measurements.values()
            if (one.format, one.runtime) == place
            and one.variant == "compressed"
            and not one.swept
            and mark_of(one) != INVALID
        ),
        default=math.inf,
    )


def _line(
    name: str,
    size: tuple[int, int, int | None, int, int],
    container: str,
    qualities: tuple[str, ...],
    variant: str,
    places: list[tuple[str, str]],
    trust: Trust,
) -> Line:
    parameters, nonzero, multiply_accumulates, raw_bytes, deflated_bytes = size
    found = {(one.variant, one.format, one.runtime): one for one in trust.measurements.values() if not one.swept}
    latencies = [_latency(found.get((variant, *place))) for place in places]
    return Line(
        cells=(
            name,
            units.count(parameters),
            units.count(nonzero),
            units.count(multiply_accumulates),
            units.size(raw_bytes),
            units.size(deflated_bytes),
            container or units.UNKNOWN,
            *qualities,
            *latencies,
        )
    )


def _latency(one: Measurement | None) -> str:
    return units.UNKNOWN if one is None else guarded(units.seconds(one.latency.median_s), mark_of(one))


def _variant(run: RunRecord, number: int) -> str:
    """Return the variant under which the model after the pass `number` was measured; a pass that changes nothing leaves the one before."""
    passes = run.compressed.passes
    artifact = passes[number - 1].model.artifact
    if artifact == run.compressed.model.artifact:
        return "compressed"
    if artifact == run.loaded.model.artifact:
        return "original"
    first = next(i for i, one in enumerate(passes, start=1) if one.model.artifact == artifact)
    return Step(number=first, name=passes[first - 1].name).variant


def findings(run: RunRecord, trust: Trust) -> Iterator[Finding]:
    """Say which training was not kept, and which pass made the model faster and which did not: one sentence for each answer."""
    steps = run.compared.steps if run.compared else ()
    for number, one in enumerate(run.compressed.passes, start=1):
        yield from (Finding(tone="worse", text=f"{one.name}: {note}.") for note in one.notes if UNTRAINED in note)
        variant = _variant(run, number)
        mine = [step for step in steps if step.subject.variant == variant]
        if not mine or changed_nothing(run, number):
            continue
        yield from _of_pass(one, mine, trust)


def changed_nothing(run: RunRecord, number: int) -> bool:
    """Whether the pass `number` left the model as it was."""
    passes = run.compressed.passes
    before = run.loaded.model if number == 1 else passes[number - 2].model
    return passes[number - 1].model.artifact == before.artifact


def _of_pass(one: PassReport, steps: list[Comparison], trust: Trust) -> Iterator[Finding]:
    groups: dict[str, list[str]] = {}
    for step in steps:
        if trust.of_comparison(step) == INVALID or not trust.has_interval(step):
            continue
        place = f"{step.subject.runtime} ({step.subject.format})"
        interval = units.faster_interval(step.latency_low, step.latency_high)
        if trust.of_comparison(step) == DOUBTFUL:
            kind = "doubted"
        elif step.latency_low <= 1 <= step.latency_high:
            kind = "same" if step.latency_high - step.latency_low <= WIDEST else "unknown"
        else:
            kind = "slower" if step.latency_low > 1 else "faster"
        found = f"{place}: {guarded(units.faster(step.latency_ratio), trust.of_comparison(step))} ({interval})"
        groups.setdefault(kind, []).append(found)
    sentences = {
        "faster": ("better", "made it faster on"),
        "slower": ("worse", "made it SLOWER on"),
        "same": ("neutral", "this step did not make it faster on"),
        "unknown": (
            "neutral",
            f"whether it became faster is not known, because the interval is wider than {units.percent(WIDEST)}, on",
        ),
        "doubted": ("neutral", "whether it became faster is doubted on"),
    }
    for kind, (tone, words) in sentences.items():
        if kind in groups:
            yield Finding(tone=tone, text=f"{one.name}: {words} {'; '.join(groups[kind])}.")
