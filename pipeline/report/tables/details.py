"""The tables behind the results: how it was made, how it was measured, on what."""

from collections.abc import Sequence

import msgspec

from pipeline import units
from pipeline.records import Conditions, Measurement, RunRecord
from pipeline.report.trust import guarded, mark_of
from pipeline.report.view import Column, Line, Table


def conversions(run: RunRecord) -> Table:
    """Each file against the model it was made from, on the host."""
    lines = []
    for one in run.converted:
        told = one.agreement
        lines.append(
            (
                one.file,
                one.kind or units.UNKNOWN,
                units.size(one.artifact.size_bytes),
                units.count(told.rows if told else None),
                units.number(told.largest_error if told else None),
                units.number(told.error_rms if told else None),
                units.percent(told.error_rms / told.spread if told and told.spread else None),
                units.percent(told.top1_agreement_ratio if told else None),
                units.percent(told.source_accuracy_ratio if told else None),
                units.percent(told.accuracy_ratio if told else None),
                one.artifact.sha256[:12],
            )
        )
    return table_of(
        "Conversions",
        "file|kind|size>|rows>|largest error>|error (rms)>|of the spread>|same top class>|accuracy of the source>|accuracy on the host>|sha256",
        lines,
        " ".join(
            (
                (
                    "Each file and the model that it was made from answered the same rows on the host. Kind: by the file's tensors. Errors are in the "
                    "output's own unit; the spread is the standard deviation of the model's answers over the rows. Classes only where labels, or "
                    "answers that are distributions, say that they are."
                ),
                *_notes(run),
            )
        ),
    )


def _notes(run: RunRecord) -> tuple[str, ...]:
    """What was chosen in making them, each once."""
    return tuple(dict.fromkeys(f"{one.format}: {note}." for one in run.converted for note in one.notes))


def passes(run: RunRecord) -> Table:
    """What each pass took away, and what was found to be really there."""
    lines = [
        (
            one.name,
            _settings(one.settings),
            f"{units.count(one.parameters_before)} → {units.count(one.parameters_after)}",
            f"{units.count(one.nonzero_before)} → {units.count(one.nonzero_after)}",
            f"{units.size(one.deflated_before_bytes)} → {units.size(one.deflated_after_bytes)}",
            f"{units.percent(one.accuracy_before_ratio)} → {units.percent(one.accuracy_after_ratio)}",
            ", ".join(f"{name} {units.number(value)}" for name, value in one.claims.items()) or units.UNKNOWN,
            units.seconds(one.seconds),
        )
        for one in run.compressed.passes
    ]
    return table_of(
        "Compression passes",
        "pass|settings|parameters>|not zero>^|deflated>|accuracy>|checked|took>",
        lines,
        "Deflated: the weights after zlib, as in a compressed download. Checked: what was found to be there afterwards.",
    )


def notes(run: RunRecord) -> Table:
    """What the passes say of their work: what they left as it was and why, what does not pay."""
    lines = [(one.name, note) for one in run.compressed.passes for note in one.notes]
    return table_of("What the passes say", "pass|note", lines)


def latency(run: RunRecord) -> Table:
    """The parts of the cold start and the quantiles of the steady state."""
    lines = []
    for one in run.measured.measurements:
        steady, mark = one.latency, mark_of(one)
        times = (
            one.cold_start_s, one.import_s, one.load_s, one.first_inference_s,
            steady.min_s, steady.p10_s, steady.median_s, steady.p90_s, steady.p99_s,
        )  # fmt: skip
        cells = (
            one.label,
            *(guarded(units.seconds(value), mark) for value in times),
            units.count(one.warmup_runs),
            units.count(steady.runs),
            units.count(steady.launches),
        )
        lines.append(Line(cells=cells, mark=mark))
    return Table(
        title="Latency in full",
        columns=columns_of(
            "measurement|cold start>|import>|load>|first>|min>|p10>|median>|p90>|p99>|warm-up>|runs>|launches>"
        ),
        lines=tuple(lines),
        note="Cold start: from the start of the process to its first answer, with Python's start and the import, load and first inference, "
        "which stand beside it. Files in the page cache: warm, their hashes were checked just before. p99 needs 662 runs (MLPerf's floor).",
    )


def memory(run: RunRecord) -> Table:
    """Resident memory at each step, anonymous and file-backed apart: tools that give one number mislead."""
    lines = [
        (
            one.label if number == 0 else "",
            step.step.replace("_", " "),
            units.size(step.resident_bytes),
            units.size(step.anonymous_bytes),
            units.size(step.file_bytes),
            units.size(step.private_dirty_bytes),
        )
        for one in run.measured.measurements
        for number, step in enumerate(one.memory.steps)
    ]
    return table_of(
        "Memory in steps",
        "measurement|after|resident>|anonymous>|file-backed>|private dirty>",
        lines,
        "Of the launch with the median peak. Model memory in the results is the growth of anonymous memory from "
        '"runtime imported" to the end, without the rows that were made ready; file-backed pages can be dropped and read again. What "allocated" adds to "model loaded" are '
        "TensorFlow Lite's arena and repacked weights together: it does not tell the arena alone."
        + _gpu_shared(run)
        + _of_job(run),
    )


def _gpu_shared(run: RunRecord) -> str:
    """On the boards that it is for, a GPU's memory is the board's own."""
    told = [(one.label, one.memory.gpu_shared_bytes) for one in run.measured.measurements]
    found = ", ".join(f"{label} {units.size(value)}" for label, value in told if value is not None)
    return (
        f" Less memory available on the whole board at the end, a GPU's and other programs' included: {found}."
        if found
        else ""
    )


def _of_job(run: RunRecord) -> str:
    """Not judged: the page cache depends on what was read before."""
    peak = run.measured.job_peak_bytes
    told = f"at most {units.size(peak)}, with the page cache charged to it (its control group; not judged)"
    return "" if peak is None else f" All launches of files alone, as one job: {told}."


def board_facts(run: RunRecord) -> Table:
    """What the board said of itself."""
    deployment, board = run.deployment, run.deployment.board
    lines = [
        ("target", deployment.target),
        ("address", deployment.address),
        (
            "kind",
            "an emulated machine, not a board"
            if board.emulated
            else "a board"
            if board.is_board
            else "this machine, not a board",
        ),
        ("model", board.model),
        ("processor", f"{units.count(board.cpu_count)} × {board.cpu}, {board.arch}"),  # noqa: RUF001 - a multiplication sign
        ("highest clock", units.frequency(board.cpu_max_khz)),
        ("governor", board.governor or units.UNKNOWN),
        ("memory", units.size(board.memory_bytes)),
        ("system", board.os),
        ("kernel", board.kernel),
        ("C library", board.libc),
        ("Python", board.python),
        ("agent", f"sha256 {deployment.agent_sha256}"),
        ("first answer", units.seconds(deployment.first_answer_s)),
        ("sent in this run", units.size(deployment.sent_bytes)),
    ]
    if deployment.note:
        lines.append(("note", deployment.note))
    return table_of("What the board was", "fact|value", lines)


def conditions(run: RunRecord) -> Table:
    """The state of the board before and after each measurement."""
    return table_of(
        "Conditions, before → after",
        "measurement|temperature>|clock>|governor|throttle flags>|load average>|CPU pressure>|free memory>",
        [(one.label, *_states(one)) for one in run.measured.measurements],
        "CPU pressure: the share of the last 10 s in which some task waited for a CPU.",
    )


def _states(measurement: Measurement) -> tuple[str, ...]:
    def state(one: Conditions) -> tuple[str, ...]:
        return (
            units.temperature(one.temperature_c),
            units.frequency(one.cpu_khz),
            one.governor or units.UNKNOWN,
            units.flags(one.throttle_flags),
            units.number(one.load_average),
            units.percent(one.cpu_pressure_ratio),
            units.size(one.available_bytes),
        )

    pairs = zip(state(measurement.before), state(measurement.after), strict=True)
    return tuple(before if before == after else f"{before} → {after}" for before, after in pairs)


def runtimes(run: RunRecord) -> Table:
    """The wheels that the board ran."""
    versions = {one.runtime: one.runtime_version for one in run.measured.measurements}
    return table_of(
        "Runtimes",
        "runtime|version|wheels|sites|sent>",
        [
            (
                one.name,
                versions.get(one.name, units.UNKNOWN),
                ", ".join(one.packages) or "none needed",
                ", ".join(site[:12] for site in one.sites) or units.UNKNOWN,
                units.size(one.sent_bytes) if one.sent_bytes else "was there",
            )
            for one in run.deployment.runtimes
        ],
    )


ENERGY = (
    "A launch of its own: idle, the model without pause, idle again; the integral over exactly that window, less idle for the "
    "net value. edgepress was not tried with any power meter's hardware yet, only with recorded and simulated ones"
)


def method(run: RunRecord, pair_lines: Sequence[tuple[str, str]] = ()) -> Table:
    """How the numbers were made, so that they can be made again. `pair_lines`: how pairs were (beside.method)."""
    measured = run.measured.measurements

    def spread(values: list[int]) -> str:
        low, high = min(values), max(values)
        return units.count(low) if low == high else f"{units.count(low)} to {units.count(high)}"

    lines = [("seed", f"{run.seed} of the run, {run.measured.seed} of the order of launches")]
    if measured:
        meters = ", ".join(f"{one.name} ({one.rail}; {one.quality})" for one in run.deployment.meters) or "none"
        lines += [
            ("launches", f"each measurement is of so many fresh processes: {spread([one.latency.launches for one in measured])}"),
            ("runs", f"{spread([one.latency.runs for one in measured])} timed inferences in all, batch 1"),
            ("warm-up", f"{spread([one.warmup_runs for one in measured])} runs, not counted"),
            ("threads", spread([one.threads for one in measured])),
            ("interval of a latency", "95 %, of the median over launches (distribution-free, from 6 launches on)"),
            ("interval of a ratio", "95 %, of candidate / baseline in the same round, by the 10th percentile of each launch; 98 % by pairs"),
            ("energy", f"meters: {meters}. {ENERGY}"),
            ("raw results", "every launch as the board sent it is in the store: "
             + ", ".join(dict.fromkeys(one.raw.sha256[:12] for one in measured))),
        ]  # fmt: skip
    lines += pair_lines
    lines.append(("plan", f"{run.plan_path}, sha256 {run.plan_sha256}"))
    return table_of("How it was measured", "what|how", lines)


def stages(run: RunRecord) -> Table:
    return table_of(
        "Stages",
        "stage|took>|from the cache",
        [(one.stage, units.seconds(one.seconds), "yes" if one.cached else "no") for one in run.stages],
    )


def table_of(title: str, columns: str, lines: Sequence[tuple[str, ...]], note: str = "") -> Table:
    return Table(title=title, columns=columns_of(columns), lines=tuple(Line(cells=cells) for cells in lines), note=note)


def columns_of(headings: str) -> tuple[Column, ...]:
    """'file|size>|zipped>^': three columns; > aligns right, ^ may stand under the one before."""
    return tuple(
        Column(heading=text.rstrip(">^"), number=">" in text, under=text.endswith("^")) for text in headings.split("|")
    )


def _settings(settings: dict[str, object]) -> str:
    texts = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in settings.items()
    }
    return ", ".join(f"{name} = {text}" for name, text in texts.items()) or units.UNKNOWN
