"""Which output of an SSD has what, by the operator in a .tflite file that writes them.

Neither their positions nor the numbers in their names say it: exporters differ. The operator's own outputs have one order:
tensorflow/lite/kernels/detection_postprocess.cc.
"""

import msgspec

from pipeline.errors import ModelError
from pipeline.frameworks import tflite_schema
from pipeline.load.request import Request
from pipeline.quality.heads import SSD_ROLES
from pipeline.records import Model, Task

OPERATOR = "TFLite_Detection_PostProcess"


def by_operator(task: Task, argument: Request, model: Model) -> Task:
    """Return the task with the outputs of its SSD by name; as it is where the plan names them, or no such operator writes them."""
    detector = task.detector
    if detector is None or detector.head != "ssd" or detector.outputs or argument.format != "tflite":
        return task
    try:
        file = tflite_schema.read(argument.store().path(model.artifact).read_bytes(), argument.name)
    except ModelError:  # LiteRT opens some damaged files, in parts that it does not use
        return task
    names = {each.tensor: each.name for each in model.outputs}
    for each in file.subgraphs[0].operators:
        written = [names.get(str(tensor)) for tensor in each.outputs]
        if each.name == OPERATOR and len(written) == len(SSD_ROLES) and None not in written:
            outputs = {role: name for role, name in zip(SSD_ROLES, written, strict=True) if name is not None}
            return msgspec.structs.replace(task, detector=msgspec.structs.replace(detector, outputs=outputs))
    return task
