"""Why a limit could not be judged, and why a proven change passes: the reasons that the verdicts of several limits share."""

from pipeline.records import Outcome, Subject, Verdict

NO_BASELINE = "nothing to compare with was measured in this runtime"
UNPAIRED = (
    "was not measured in pairs with its baseline, because the limit was set later or an older edgepress measured it: "
    "run `edgepress measure` again"
)


def not_measured(subject: Subject, metric: str, limit: float, why: str, task: str = "") -> Verdict:
    """The verdict on a limit that cannot be judged, because there is no valid number: never silently green."""
    return Verdict(subject=subject, metric=metric, unit="", limit=limit, outcome=Outcome.INVALID, why=why, task=task)


def within(worse: str, change: str, limit: str) -> str:
    """Why a proven change for the worse passes."""
    return f"{worse} by {change} (proven), within the limit of {limit}"
