from edgepress import callbacks as callbacks
from edgepress import codebook as codebook
from edgepress import layers as layers
from edgepress.stages import convert as convert
from edgepress.stages import measure as measure
from edgepress.stages import read_plan as read_plan
from edgepress.stages import run as run
from pipeline.compress import apply as compress
from pipeline.compress.base import Applied as Applied
from pipeline.compress.context import Dataset as Dataset
from pipeline.errors import ChildError as ChildError
from pipeline.errors import DataError as DataError
from pipeline.errors import EdgepressError as EdgepressError
from pipeline.errors import ModelError as ModelError
from pipeline.errors import PlanError as PlanError
from pipeline.errors import PromiseError as PromiseError
from pipeline.errors import StageError as StageError
from pipeline.plan import Plan as Plan
from pipeline.progress import Progress as Progress
from pipeline.records import Agreement as Agreement
from pipeline.records import Artifact as Artifact
from pipeline.records import BoardAccuracy as BoardAccuracy
from pipeline.records import Compared as Compared
from pipeline.records import Comparison as Comparison
from pipeline.records import Compressed as Compressed
from pipeline.records import Converted as Converted
from pipeline.records import Deployment as Deployment
from pipeline.records import Doubt as Doubt
from pipeline.records import Energy as Energy
from pipeline.records import Latency as Latency
from pipeline.records import Loaded as Loaded
from pipeline.records import Measured as Measured
from pipeline.records import Measurement as Measurement
from pipeline.records import Memory as Memory
from pipeline.records import Model as Model
from pipeline.records import NotMeasured as NotMeasured
from pipeline.records import Outcome as Outcome
from pipeline.records import PassReport as PassReport
from pipeline.records import RunRecord as RunRecord
from pipeline.records import Verdict as Verdict
from pipeline.report import read_run as read_run
from targets.errors import TargetError as TargetError

__all__ = [
    "Agreement",
    "Applied",
    "Artifact",
    "BoardAccuracy",
    "ChildError",
    "Compared",
    "Comparison",
    "Compressed",
    "Converted",
    "DataError",
    "Dataset",
    "Deployment",
    "Doubt",
    "EdgepressError",
    "Energy",
    "Latency",
    "Loaded",
    "Measured",
    "Measurement",
    "Memory",
    "Model",
    "ModelError",
    "NotMeasured",
    "Outcome",
    "PassReport",
    "Plan",
    "PlanError",
    "Progress",
    "PromiseError",
    "RunRecord",
    "StageError",
    "TargetError",
    "Verdict",
    "callbacks",
    "codebook",
    "compress",
    "convert",
    "measure",
    "read_plan",
    "read_run",
    "run",
]
