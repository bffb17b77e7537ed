"""The inferences from which a quantizer learns the ranges: of rows, and of the states that these rows lead to."""

from collections.abc import Callable, Iterator

import numpy as np

from pipeline import frameworks
from pipeline.convert import saved_model_source
from pipeline.convert.request import Job
from pipeline.frameworks import Array, Feed, Runner


def inferences(job: Job, count: Callable[[int, int], None]) -> Iterator[Feed]:
    """Yield whole tensors by the names of all inputs. A state has the values that the model in floating point gives it: of zeros alone
    its range would be that of zeros.
    """
    feeds = job.calibration
    assert feeds is not None  # pipeline.convert.check
    answer = _source(job) if job.model.state else None
    dtypes = {each.name: each.dtype for each in job.model.inputs}
    for index in range(feeds.rows):
        count(index, feeds.rows)
        kept = {name: np.zeros(job.shapes[name], dtypes[name]) for name, _ in job.model.state}
        for feed in feeds.steps(index):
            yield feed | kept
            if answer is not None:
                answers = answer(feed | kept)
                kept = {name: answers[output].astype(dtypes[name]) for name, output in job.model.state}


def _source(job: Job) -> Callable[[Feed], dict[str, Array]]:
    """The model in floating point, by the names of its record."""
    runner: Runner
    if saved_model_source.is_source(job):
        runner = saved_model_source.runner_of(job)
    elif job.model.artifact.format == "keras":
        runner = frameworks.KerasRunner(frameworks.open_keras(job.source, job.model.name), job.model.name)
    else:
        runner = frameworks.open_file(job.source, job.model.artifact.format, job.model.name)
    # Keras gives an input without a name another one each time it opens the file, in the same order
    names = dict(zip([each.name for each in job.model.inputs], [each.name for each in runner.inputs], strict=True))
    outputs = [each.name for each in job.model.outputs]

    def answer(feed: Feed) -> dict[str, Array]:
        return dict(zip(outputs, runner.run({names[name]: x for name, x in feed.items()}), strict=True))

    return answer
