"""An Experiment for tests of one part of the stage: what the part does not look at is left out."""

from pipeline.measure.experiment import Experiment
from pipeline.progress import Silent
from pipeline.records import Data

NOTHING = {
    "session": None, "plan": None, "data": Data(), "deployment": None, "converted": (), "store": None, "progress": Silent(),
}  # fmt: skip


def experiment_of(**parts):
    return Experiment(**NOTHING | parts)
