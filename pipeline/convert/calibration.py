"""The inferences from which a quantizer learns the ranges: of rows, and of the states that these rows lead to."""

from collections.abc import Callable, Iterator

import numpy as np

from pipeline import frameworks
from pipeline.convert.request import Job
from pipeline.frameworks import Feed, Runner


def inferences(job: Job, count: Callable[[int, int], None]) -> Iterator[Feed]:
    """Yield whole tensors by the names of all inputs. A state has the values that the model in floating point gives it: of zeros alone
    its range would be that of zeros.
    """
    feeds = job.calibration
    assert feeds is not None  # pipeline.convert.check
    runner = _source(job) if job.model.state else None
    dtypes = {each.name: each.dtype for each in job.model.inputs}
    for index in range(feeds.rows):
        count(index, feeds.rows)
        kept = {name: np.zeros(job.shapes[name], dtypes[name]) for name, _ in job.model.state}
        for feed in feeds.steps(index):
            yield feed | kept
            if runner is not None:
                answers = dict(zip([each.name for each in runner.outputs], runner.run(feed | kept), strict=True))
                kept = {name: answers[output].astype(dtypes[name]) for name, output in job.model.state}


def _source(job: Job) -> Runner:
    if job.model.artifact.format != "keras":
        return frameworks.open_file(job.source, job.model.artifact.format, job.model.name)
    model = frameworks.open_keras(job.source, job.model.name, job.custom_objects)
    return frameworks.KerasRunner(model, job.model.name)
