"""What the board is asked to launch, and in which order."""

import random

from device_agent import wire
from pipeline.measure.candidate import Candidate
from pipeline.measure.experiment import Experiment

Schedule = list[tuple[Candidate, wire.Launch]]


def schedule_of(experiment: Experiment) -> Schedule:
    """Return the launches in their order: first the answers of all files but those of the ledger, whose accuracy the host knows;
    then rounds, in each of which every candidate runs once, in a new order, so that drift meets all alike; last the profiles.
    """
    table, candidates = experiment.plan.tables.measure, experiment.candidates
    shuffle = random.Random(experiment.plan.tables.seed)  # noqa: S311 - an order, not a secret
    in_full = [candidate for candidate in candidates if candidate.in_full]
    rounds = [candidate for _ in range(table.launches) for candidate in shuffle.sample(candidates, len(candidates))]
    steps = (
        ("evaluate", [candidate for candidate in in_full if experiment.has_rows(candidate)]),
        ("time", rounds),
        ("profile", in_full if table.operators else []),
    )
    return [(candidate, experiment.launch_of(mode, candidate)) for mode, chosen in steps for candidate in chosen]
