"""Every record that crosses a stage border. Frozen; every number has its unit in its name.

SCHEMA history (`RunRecord.schema`; it rises when a field changes its meaning or goes away):
    1  first
    2  energy is a reading for each meter; latency is judged by pairs
    3  given files are called by their names; answers are classes only where labels, or they themselves, say so; a converted file has the
       answers of other kernels; a measurement has its golden answers
    4  what a number is about is a Subject, not its label; a file between two passes names its step; `glances` are `board_samples`
    5  a model, its data and its files have any number of inputs and outputs; a shape has all axes of its tensor
    6  a model has any number of tasks, and so have its qualities

An older run is read by pipeline/records/migrations.py.
"""

import msgspec

from pipeline.records.artifact import Artifact as Artifact
from pipeline.records.base import Record as Record
from pipeline.records.base import Sha256 as Sha256
from pipeline.records.compare import Compared as Compared
from pipeline.records.compare import Comparison as Comparison
from pipeline.records.compare import MetricDrop as MetricDrop
from pipeline.records.compare import MetricLevel as MetricLevel
from pipeline.records.compare import Outcome as Outcome
from pipeline.records.compare import Verdict as Verdict
from pipeline.records.compress import UNTRAINED as UNTRAINED
from pipeline.records.compress import Compressed as Compressed
from pipeline.records.compress import PassReport as PassReport
from pipeline.records.compress import SensitivityPoint as SensitivityPoint
from pipeline.records.convert import Agreement as Agreement
from pipeline.records.convert import Converted as Converted
from pipeline.records.convert import Processor as Processor
from pipeline.records.deploy import BoardFacts as BoardFacts
from pipeline.records.deploy import DeployedFile as DeployedFile
from pipeline.records.deploy import DeployedMeter as DeployedMeter
from pipeline.records.deploy import DeployedRuntime as DeployedRuntime
from pipeline.records.deploy import Deployment as Deployment
from pipeline.records.doubt import Doubt as Doubt
from pipeline.records.energy import Energy as Energy
from pipeline.records.energy import EnergyParts as EnergyParts
from pipeline.records.energy import EnergyReading as EnergyReading
from pipeline.records.energy import PowerCurve as PowerCurve
from pipeline.records.energy import PowerSpan as PowerSpan
from pipeline.records.measure import BoardAccuracy as BoardAccuracy
from pipeline.records.measure import Conditions as Conditions
from pipeline.records.measure import EndToEnd as EndToEnd
from pipeline.records.measure import Latency as Latency
from pipeline.records.measure import Measured as Measured
from pipeline.records.measure import Measurement as Measurement
from pipeline.records.measure import Memory as Memory
from pipeline.records.measure import MemoryStep as MemoryStep
from pipeline.records.measure import NotMeasured as NotMeasured
from pipeline.records.measure import Operator as Operator
from pipeline.records.model import Column as Column
from pipeline.records.model import Data as Data
from pipeline.records.model import EndToEndFunctions as EndToEndFunctions
from pipeline.records.model import Loaded as Loaded
from pipeline.records.model import Model as Model
from pipeline.records.model import OwnFunction as OwnFunction
from pipeline.records.model import Rows as Rows
from pipeline.records.model import RowsBefore as RowsBefore
from pipeline.records.model import TensorSpec as TensorSpec
from pipeline.records.pairs import BoardSample as BoardSample
from pipeline.records.pairs import EnergyPaired as EnergyPaired
from pipeline.records.pairs import Paired as Paired
from pipeline.records.pairs import Quantile as Quantile
from pipeline.records.pairs import Side as Side
from pipeline.records.pairs import TailRatios as TailRatios
from pipeline.records.quality import Alike as Alike
from pipeline.records.quality import Detector as Detector
from pipeline.records.quality import Quality as Quality
from pipeline.records.quality import Signal as Signal
from pipeline.records.quality import Task as Task
from pipeline.records.quality import quality_of as quality_of
from pipeline.records.run import SCHEMA as SCHEMA
from pipeline.records.run import RunRecord as RunRecord
from pipeline.records.run import StageTime as StageTime
from pipeline.records.subject import VARIANTS as VARIANTS
from pipeline.records.subject import Step as Step
from pipeline.records.subject import Subject as Subject
from pipeline.records.subject import file_of as file_of
from pipeline.records.subject import subject_of as subject_of

# msgspec learns a type when it is first read: two threads that read one for the first time, as conversions do, crash the process
msgspec.json.Decoder(RunRecord)
