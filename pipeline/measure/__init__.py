"""Deployment -> Measurement: fresh processes on the board in a shuffled order, raw integers back, statistics here."""

from collections.abc import Sequence
from statistics import median

from device_agent import wire
from pipeline import units
from pipeline.errors import StageError
from pipeline.measure.accuracy import NO_ANSWERS, AccuracyFound, accuracy_of
from pipeline.measure.candidate import Answer, Candidate
from pipeline.measure.end_to_end import with_end_to_end
from pipeline.measure.energy.launches import watch_all, why_none
from pipeline.measure.experiment import Experiment
from pipeline.measure.inputs import check_lengths as check_lengths
from pipeline.measure.memory import job_peak_of, memory_of
from pipeline.measure.operators import operators_of
from pipeline.measure.pairs.energy import energy_in_pairs
from pipeline.measure.pairs.latency import latency_in_pairs
from pipeline.measure.remedies import evidence
from pipeline.measure.schedule import Schedule, schedule_of
from pipeline.measure.summary import summarise
from pipeline.measure.tuning import tuned
from pipeline.measure.validity import doubts_of, doubts_of_board
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
    session: Session,
    plan: Plan,
    data: Data,
    deployment: Deployment,
    converted: Sequence[Converted],
    store: Store,
    progress: Progress,
) -> Measured:
    """Measure every file in every runtime that runs it. A file that the board cannot run becomes a failure, not a number.

    The results stay on the board, too, until session.forget_fetched().
    """
    experiment = Experiment(
        session=session,
        plan=plan,
        data=data,
        deployment=deployment,
        converted=converted,
        store=store,
        progress=progress,
    )
    with tuned(session, plan, progress):
        return _measured(experiment)


def _measured(experiment: Experiment) -> Measured:
    schedule = schedule_of(experiment)
    answers = _answers(experiment, schedule)
    alone = []
    for candidate in experiment.candidates:
        mine = [
            (launch.mode, answer) for (each, launch), answer in zip(schedule, answers, strict=True) if each == candidate
        ]
        alone.append(_alone(experiment, candidate, mine))
    watched = watch_all(experiment, schedule)
    measurements = [watched(one) for one in alone if isinstance(one, Measurement)]
    paired, unpaired = latency_in_pairs(experiment, measurements)
    energy_paired = energy_in_pairs(experiment, measurements)
    return Measured(
        measurements=tuple(with_end_to_end(experiment, measurements)),
        failures=tuple(one for one in alone if isinstance(one, NotMeasured)),
        paired=paired,
        energy_paired=energy_paired,
        unpaired=unpaired,
        seed=experiment.plan.tables.seed,
        job_peak_bytes=job_peak_of([each for each in answers if isinstance(each, wire.Launched)]),
    )


def _answers(experiment: Experiment, schedule: Schedule) -> list[Answer]:
    """Return what became of each launch of the schedule, in its order."""
    session = experiment.session
    answers: dict[int, Answer] = {}
    job_id = session.submit(
        tuple(launch for _, launch in schedule), str(experiment.plan.path), cooling=experiment.cooling
    )
    for record in session.follow(job_id):
        if isinstance(record, Answer):
            answers[record.index] = record
        label = schedule[record.index][0].label if 0 <= record.index < len(schedule) else ""
        experiment.progress.step(len(answers), len(schedule), label)
    if set(answers) != set(range(len(schedule))):
        raise StageError(
            "the agent finished without an answer for every launch", hint="Run again; report it if it happens twice."
        )
    return [answers[index] for index in range(len(schedule))]


def _alone(
    experiment: Experiment, candidate: Candidate, answers: Sequence[tuple[str, Answer]]
) -> Measurement | NotMeasured:
    """One file in one runtime, from the (mode, answer) of each of its launches."""
    timing = [answer for mode, answer in answers if mode == "time"]
    failed = [answer for answer in timing if isinstance(answer, wire.LaunchFailed)]
    if failed:
        launches = units.counted(len(timing), "launch")
        return candidate.not_measured(
            f"{len(failed)} of {launches} failed, the first: {evidence(failed[0])}", failed[0]
        )
    evaluated, profiled = (
        experiment.as_expected(next((answer for mode, answer in answers if mode == wanted), None), candidate)
        for wanted in ("evaluate", "profile")
    )
    found = accuracy_of(experiment, candidate, evaluated) if evaluated else NO_ANSWERS
    timed = [answer for answer in timing if isinstance(answer, wire.Launched)]
    return _measurement(experiment, candidate, timed, profiled, found)


def _measurement(
    experiment: Experiment,
    candidate: Candidate,
    timed: Sequence[wire.Launched],
    profiled: Answer | None,
    answers: AccuracyFound,
) -> Measurement:
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
        energy=Energy(readings=(), note=why_none(experiment.deployment)),
        accuracy=answers.accuracy,
        before=_conditions(timed[0].before),
        after=_conditions(timed[-1].after),
        doubts=(
            *doubts_of_board(experiment.deployment.board),
            *doubts_of(timed, latency, experiment.expected_of(candidate, timed, answers.golden)),
            *answers.doubts,
        ),
        raw=experiment.keep(timed),
        operators=operators,
        operators_note=note,
        swept=candidate.swept,
        name=candidate.converted.name,
        role=candidate.converted.role,
        step=candidate.converted.step,
        kind=candidate.converted.kind,
        golden=answers.golden,
    )


def _conditions(seen: wire.Conditions) -> Conditions:
    """Return the agent's integers in the units of people; None stays None."""

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
