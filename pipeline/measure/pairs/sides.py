"""The two sides of a pair: a judged file and its baseline, their launches, and the doubts about their pairs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Self

import msgspec

from device_agent import wire
from pipeline.baseline import with_baselines
from pipeline.measure.experiment import Experiment
from pipeline.measure.pairs.run import BlockLengths, Pairing
from pipeline.measure.validity import doubts_of_pairs
from pipeline.records import Doubt, Measurement
from pipeline.statistics.paired_test import Rule


class Sides(msgspec.Struct, frozen=True):
    """A judged file and its baseline, as each was measured alone. `index`: of the file among the measurements."""

    experiment: Experiment
    index: int
    candidate: Measurement
    baseline: Measurement

    @classmethod
    def all_of(cls, experiment: Experiment, measurements: Sequence[Measurement]) -> Iterator[Self]:
        return (cls(experiment, *each) for each in with_baselines(experiment.plan, measurements))

    @property
    def launches(self) -> tuple[wire.Launch, wire.Launch]:
        """That of the baseline, then that of the candidate."""
        experiment = self.experiment
        a, b = (experiment.launch_of("time", experiment.candidate_of(each)) for each in (self.baseline, self.candidate))
        return a, b

    def pairing(
        self, launches: tuple[wire.Launch, wire.Launch], shape: BlockLengths, rule: Rule, what: str = ""
    ) -> Pairing:
        """`what`: added to the label of the jobs."""
        plan = self.experiment.plan
        return Pairing(
            baseline=launches[0],
            candidate=launches[1],
            shape=shape,
            rules=(rule,),
            seed=plan.tables.seed + self.index,
            label=f"{plan.path}{what}",
            cooling=self.experiment.cooling,
        )

    def progress_of(self, rule: Rule, note: str) -> Callable[[int], None]:
        """Return what shows how many pairs are measured, of the most that there may be."""
        return lambda done: self.experiment.progress.step(done, rule.looks[-1], note)

    def doubts_of(self, pairs: Sequence[wire.Paired]) -> tuple[Doubt, ...]:
        """Check the pairs by the rules of validity."""
        launches = [pair.a for pair in pairs], [pair.b for pair in pairs]
        expected = (
            self.experiment.expected_of(self.experiment.candidate_of(one), mine, one.golden)
            for one, mine in zip((self.baseline, self.candidate), launches, strict=True)
        )
        return doubts_of_pairs(pairs, *expected)
