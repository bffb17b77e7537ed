"""Deployment -> Measurement: fresh processes on the board in a shuffled order, raw integers back, statistics here."""

from collections.abc import Sequence
from statistics import median

from device_agent import wire
from pipeline import units
from pipeline.errors import StageError
from pipeline.measure.accuracy import NO_ANSWERS, Found, accuracy_of
from pipeline.measure.energy.launches import watch_all, why_none
from pipeline.measure.expected import as_asked, asked_of
from pipeline.measure.memory import job_peak_of, memory_of
from pipeline.measure.operators import operators_of
from pipeline.measure.pairs.energy import energy_beside
from pipeline.measure.pairs.latency import beside
from pipeline.measure.remedies import evidence, remedy
from pipeline.measure.schedule import Candidate, candidates_of, cooling_of, schedule_of
from pipeline.measure.summary import summarise
from pipeline.measure.tuning import tuned
from pipeline.measure.validity import doubts_about, doubts_of
from pipeline.plan import Plan
from pipeline.progress import Progress
from pipeline.records import (
    Conditions,
    Converted,
    Data,
    Deployment,
    Energy,
    Measured,
    Measurement,
    NotMeasured,
)
from pipeline.store import Store
from targets import Session


def measure(
    session: Session, plan: Plan, data: Data, deployment: Deployment, converted: Sequence[Converted], store: Store,
    progress: Progress,
) -> Measured:  # fmt: skip
    """Measure every file in every runtime that runs it. A file that the board can not run becomes a failure, not a number.

    The results stay on the board, too, until session.forget_fetched().
    """
    with tuned(session, plan, progress):
        return _measured(session, plan, data, deployment, converted, store, progress)


def _measured(
    session: Session, plan: Plan, data: Data, deployment: Deployment, converted: Sequence[Converted], store: Store,
    progress: Progress,
) -> Measured:  # fmt: skip
    candidates = candidates_of(converted, deployment, plan)
    all_rows = data.evaluation.rows if data.evaluation else 0
    schedule = schedule_of(candidates, plan, deployment, min(all_rows, plan.tables.measure.evaluation_rows or all_rows))
    answers: dict[int, wire.Launched | wire.LaunchFailed] = {}
    job_id = session.submit(tuple(launch for _, launch in schedule), str(plan.path), cooling=cooling_of(plan))
    for record in session.follow(job_id):
        if isinstance(record, wire.Launched | wire.LaunchFailed):
            answers[record.index] = record
        label = schedule[record.index][0].label if 0 <= record.index < len(schedule) else ""
        progress.step(len(answers), len(schedule), label)
    if set(answers) != set(range(len(schedule))):
        raise StageError(
            "the agent finished without an answer for every launch", hint="Run again; report it if it happens twice."
        )
    measurements, failures = [], []
    for candidate in candidates:
        mine = [(launch.mode, answers[index]) for index, (each, launch) in enumerate(schedule) if each == candidate]
        timing = [answer for mode, answer in mine if mode == "time"]
        timed = [answer for answer in timing if isinstance(answer, wire.Launched)]
        failed = [answer for answer in timing if isinstance(answer, wire.LaunchFailed)]
        if failed:
            failures.append(_failure(candidate, failed, len(timing)))
            continue
        evaluated, profiled = (
            as_asked(next((answer for mode, answer in mine if mode == wanted), None), candidate, deployment)
            for wanted in ("evaluate", "profile")
        )
        found = accuracy_of(session, candidate, evaluated, data, deployment, store) if evaluated else NO_ANSWERS
        measurements.append(_measurement(candidate, deployment, timed, profiled, found, store))
    watched = watch_all(session, plan, deployment, schedule, store, progress)
    measurements = [watched(measurement) for measurement in measurements]
    paired, unpaired = beside(session, plan, deployment, candidates, measurements, store, progress)
    return Measured(
        measurements=tuple(measurements),
        failures=tuple(failures),
        paired=paired,
        energy_paired=energy_beside(session, plan, deployment, candidates, measurements, store, progress),
        unpaired=unpaired,
        seed=plan.tables.seed,
        job_peak_bytes=job_peak_of([each for each in answers.values() if isinstance(each, wire.Launched)]),
    )


def _measurement(
    candidate: Candidate, deployment: Deployment, timed: Sequence[wire.Launched],
    profiled: wire.Launched | wire.LaunchFailed | None, answers: Found, store: Store,
) -> Measurement:  # fmt: skip
    if not all(launch.latency_ns and launch.memory for launch in timed):
        raise StageError(
            f"the agent sent no times for {candidate.label}", hint="Run again; report it if it happens twice."
        )
    operators, note = operators_of(profiled)
    latency = summarise([launch.latency_ns for launch in timed])
    return Measurement(
        variant=candidate.converted.variant,
        format=candidate.converted.format,
        artifact=candidate.converted.artifact,
        runtime=candidate.runtime,
        runtime_version=timed[0].runtime_version,
        threads=candidate.threads,
        cold_start_s=median(launch.cold_start_ns for launch in timed) / 1e9,
        import_s=median(launch.import_ns for launch in timed) / 1e9,
        load_s=median(launch.load_ns for launch in timed) / 1e9,
        first_inference_s=median(launch.first_ns for launch in timed) / 1e9,
        warmup_runs=round(median(len(launch.warmup_ns) for launch in timed)),
        latency=latency,
        memory=memory_of(timed, candidate.runtime),
        energy=Energy(readings=(), note=why_none(deployment)),
        accuracy=answers.accuracy,
        before=_conditions(timed[0].before),
        after=_conditions(timed[-1].after),
        doubts=(
            *doubts_about(deployment.board),
            *doubts_of(timed, latency, asked_of(candidate, deployment, store, timed, answers.golden)),
            *answers.doubts,
        ),
        raw=store.put_bytes(b"".join(wire.encode(launch) for launch in timed), "jsonl"),
        operators=operators,
        operators_note=note,
        swept=candidate.swept,
        name=candidate.converted.name,
        role=candidate.converted.role,
        kind=candidate.converted.kind,
        golden=answers.golden,
    )


def _conditions(seen: wire.Conditions) -> Conditions:
    """The agent's integers in the units of people; None stays None."""

    def scaled(value: int | None, factor: float) -> float | None:
        return None if value is None else value * factor

    return Conditions(
        temperature_c=scaled(seen.temperature_mc, 1e-3),
        cpu_khz=seen.cpu_khz,
        governor=seen.governor,
        throttle_flags=seen.throttle_flags,
        load_average=scaled(seen.load_average_milli, 1e-3),
        cpu_pressure_ratio=scaled(seen.cpu_pressure_centi, 1e-4),
        available_bytes=seen.available_bytes,
    )


def _failure(candidate: Candidate, failed: Sequence[wire.LaunchFailed], launches: int) -> NotMeasured:
    first = failed[0]
    return NotMeasured(
        variant=candidate.converted.variant,
        format=candidate.converted.format,
        runtime=candidate.runtime,
        threads=candidate.threads if candidate.swept else None,
        name=candidate.converted.name,
        role=candidate.converted.role,
        evidence=f"{len(failed)} of {units.counted(launches, 'launch')} failed, the first: {evidence(first)}",
        remedy=remedy(first),
    )
