"""Mode "evaluate": run the model on every row."""

import hashlib
import io
import os
import time
from typing import Any, Dict, List, Tuple

from device_agent.bench.feeds import Feeds
from device_agent.bench.messages import Messages
from device_agent.files.layout import Layout, commit

MOST_LOST = 0.001  # of a row's largest value: float16 rounds by 0.0005 of each, but cannot hold large and tiny ones


def evaluate(model: Any, feeds: Feeds, messages: Messages, folder: str, layout: Layout) -> Dict[str, Any]:
    """Keep each output as a .npy blob, written row by row: boards have little memory. Returns their hashes, for wire.Launched.
    Refused where the disk has no room for them.
    """
    messages.enter("evaluate", feeds.rows)
    files: List[_Output] = []
    try:
        for index in range(feeds.rows):
            answers = _answers(model, feeds, index)
            if not files:
                kinds = [_kind(answer.dtype, feeds.launch.half) for answer in answers]
                sizes = [answer.size * kind.itemsize for answer, kind in zip(answers, kinds)]  # noqa: B905
                layout.require_room(feeds.rows * sum(sizes))
                for answer, kind in zip(answers, kinds):  # noqa: B905
                    path = os.path.join(folder, "output%d.npy" % len(files))
                    files.append(_Output(path, feeds.rows, answer.shape, kind))
            for file, answer in zip(files, answers):  # noqa: B905
                file.add(answer, index)
            messages.report(index + 1, feeds.rows, time.perf_counter_ns())
    finally:
        for file in files:
            file.close()
    for file in files:
        commit(file.path, layout.blob(file.digest.hexdigest()))
    return {"outputs_sha256": tuple(file.digest.hexdigest() for file in files)}


def _answers(model: Any, feeds: Feeds, index: int) -> List[Any]:
    """Return the answers to one row; of a sequence, those to its steps, one above the other."""
    import numpy as np

    model.reset()
    steps = []
    for number, step in enumerate(feeds.steps(index)):
        model.feed(model.fitted(step), fresh=number == 0)
        model.invoke()
        steps.append([_row_of(output) for output in model.outputs()])
    return [np.stack(each) for each in zip(*steps)] if feeds.launch.sequences else steps[0]  # noqa: B905 - Python 3.8


def _kind(dtype: Any, half: bool) -> Any:
    import numpy as np

    return np.dtype("<f2") if half and dtype.kind == "f" else dtype.newbyteorder("<")


def _loses(kept: Any, answer: Any) -> bool:
    import numpy as np

    return bool(np.isfinite(answer).all() and np.abs(kept - answer).max() > MOST_LOST * np.abs(answer).max())


def _row_of(output: Any) -> Any:
    """Drop the batch axis."""
    return output[0] if output.shape[:1] == (1,) else output


class _Output:
    """One output's file, and its hash."""

    def __init__(self, path: str, rows: int, shape: Tuple[int, ...], dtype: Any) -> None:
        import numpy as np

        self.path, self.digest = path, hashlib.sha256()
        self.dtype, self.shape = dtype, shape
        self.file = open(path, "wb")  # noqa: SIM115 - closed by `close`
        header = io.BytesIO()
        fields: Dict[str, Any] = {"descr": self.dtype.str, "fortran_order": False, "shape": (rows, *self.shape)}
        np.lib.format.write_array_header_1_0(header, fields)
        self._write(header.getvalue())

    def add(self, answer: Any, index: int) -> None:
        import numpy as np

        if answer.shape != self.shape:
            shapes: Tuple[Any, Any] = self.shape, answer.shape
            raise ValueError("an output has the shape %s for row 0 and %s for row %d" % (*shapes, index))
        kept = np.ascontiguousarray(answer, self.dtype)
        if kept.itemsize < answer.itemsize and kept.size and _loses(kept, answer):
            raise ValueError("the answers to row %d do not fit float16: take them whole" % index)
        self._write(kept.tobytes())

    def close(self) -> None:
        self.file.close()

    def _write(self, data: bytes) -> None:
        self.digest.update(data)
        self.file.write(data)
