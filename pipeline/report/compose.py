"""A RunRecord -> the View that every renderer shows. Numbers become text in pipeline.units and nowhere else."""

from pipeline.records import Doubt, Outcome, RunRecord
from pipeline.report import findings, tables, verdicts
from pipeline.report.trust import Trust, shared_doubts
from pipeline.report.view import View, cleaned

NOT_JUDGED = "NOT JUDGED"  # not PASS: nothing was held against anything


def view_of(run: RunRecord) -> View:
    """Everything that a report says, in words. The only reader of a RunRecord apart from the pictures."""
    trust = Trust(run)
    judged = bool(trust.compared.verdicts) or trust.compared.outcome is not Outcome.PASS
    view = View(
        model=f"{run.loaded.model.name}.{run.loaded.model.artifact.format}",
        board=run.deployment.where,
        caveat=_caveat(run),
        outcome=trust.compared.outcome if judged else NOT_JUDGED,
        headline=findings.headline(run, trust),
        origin=f"run {run.run_id} of {run.created_utc}, plan {run.plan_path}, edgepress {run.edgepress_version}",
        limits=verdicts.limits(trust),
        findings=findings.findings(run, trust),
        failures=shared_doubts(
            [
                (one.label, Doubt(what="could not be measured on this board", evidence=one.evidence, remedy=one.remedy))
                for one in (*run.measured.failures, *run.measured.unpaired)
            ]
        ),
        doubts=shared_doubts(
            [(measurement.label, doubt) for measurement in run.measured.measurements for doubt in measurement.doubts]
            + [
                (f"{paired.subject.label}, in pairs with its baseline", doubt)
                for paired in run.measured.paired
                for doubt in paired.doubts
            ]
            + [
                (f"{one.label}, end to end", doubt)
                for one in run.measured.measurements
                if one.end_to_end
                for doubt in one.end_to_end.doubts
            ]
            + [
                (f"{paired.subject.label}, in pairs with its baseline", doubt)
                for paired in run.measured.energy_paired
                for doubt in paired.doubts
            ]
        ),
        sections=tables.sections(run, trust),
    )
    return cleaned(view)


def _caveat(run: RunRecord) -> str:
    """What a reader must know before any number: it was not a board, or not the one in the plan."""
    deployment = run.deployment
    kind = ""
    if deployment.board.emulated:
        kind = (
            f"{deployment.target}: an emulated machine, not a board. Every time in this report is the emulator's: it says "
            "nothing about a board, and no limit on latency is judged by it. Accuracy and size are those of a real ARM system."
        )
    elif not deployment.board.is_board:
        kind = (
            f"{deployment.target}: this machine, not a board. Latency, memory and energy are those of this machine and say "
            "nothing of the board that will run the model."
        )
    return " ".join(filter(None, (kind, deployment.note)))
