"""A launch of each file for the power meters, after the timed ones: what it uses, or why that is not known."""

from collections.abc import Callable

import msgspec

from device_agent import wire
from pipeline.measure.energy.capture import Watch
from pipeline.measure.experiment import OTHER_FILE, Experiment
from pipeline.measure.remedies import evidence, remedy
from pipeline.measure.schedule import Schedule
from pipeline.records import VARIANTS, Deployment, Doubt, Energy, Measurement, Subject
from targets import boards


def watch_all(experiment: Experiment, schedule: Schedule) -> Callable[[Measurement], Measurement]:
    """Run each file that was asked for once more, for the meters. Returns what adds the energy to its measurement."""
    session, plan = experiment.session, experiment.plan
    if not experiment.deployment.meters:
        return lambda measurement: measurement
    timed = {
        candidate.subject: launch
        for candidate, launch in schedule
        if candidate.converted.variant in VARIANTS and launch.mode == "time"
    }
    subjects = tuple(timed)
    answers: dict[Subject, wire.Launched] = {}
    failed: dict[Subject, wire.LaunchFailed] = {}
    others: set[Subject] = set()  # that have read another file than they were asked to
    with Watch(session, plan, experiment.deployment.meters) as watch:
        job_id = session.submit(tuple(watch.launch_of(timed[each]) for each in subjects), f"{plan.path}, energy")
        for record in session.follow(job_id):
            one = subjects[record.index] if 0 <= record.index < len(subjects) else None
            if one and isinstance(record, wire.LaunchFailed):
                failed[one] = record
            if one and isinstance(record, wire.Launched):
                if _files(record) == _files(timed[one]):
                    answers[one] = record
                else:
                    others.add(one)
            experiment.progress.step(len(answers), len(subjects), f"energy of {one.label if one else ''}")
        watch.ended()

    def added(measurement: Measurement) -> Measurement:
        if measurement.subject not in timed:
            return measurement
        answer = answers.get(measurement.subject)
        if answer is None:
            why, what_to_do = "the launch for the power meters did not end on the board", "Run again."
            if measurement.subject in failed:
                why = f"the launch for the power meters failed on the board: {evidence(failed[measurement.subject])}"
                what_to_do = remedy(failed[measurement.subject])
            if measurement.subject in others:
                why = f"in the launch for the power meters {OTHER_FILE}"
            energy, doubts = Energy(readings=(), note=why), [_failed(why, what_to_do)]
        else:
            energy, doubts = watch.energy_of(answer)
            energy = msgspec.structs.replace(energy, raw=experiment.keep((answer, *watch.traces)))
        return msgspec.structs.replace(measurement, energy=energy, doubts=(*measurement.doubts, *doubts))

    return added


def why_none(deployment: Deployment) -> str:
    """What to say where no meter is there: of this kind of board."""
    board = deployment.board
    kind = boards.recognise(board.model) if board.is_board else "emulated_aarch64" if board.emulated else "this_machine"
    return f"no power meter{f'; {boards.board(kind).power.says}' if kind else ''}"


def _files(of: wire.Launch | wire.Launched) -> tuple[str, ...]:
    inputs = of.inputs_sha256 if isinstance(of, wire.Launched) else (each.sha256 for each in of.inputs)
    return (of.model_sha256, *inputs)


def _failed(why: str, what_to_do: str) -> Doubt:
    return Doubt(what="no energy", evidence=why, remedy=what_to_do, invalid=True, touches="energy")
