"""Mode "end_to_end": a row through the user's `preprocess`, the model and `postprocess`, which are timed as one.

The functions may raise, never return, end the process or take all memory: that costs this launch and nothing else. Its process does nothing more,
and the host asks for it when everything else is measured.
"""

import array
import importlib.util
import os
import resource
import sys
import time
import traceback
from typing import Any, Dict, List, Optional, Sequence, Tuple

from device_agent import wire
from device_agent.bench.feeds import Feeds, finite, golden_values, mapped
from device_agent.bench.messages import Messages
from device_agent.board import procfs

MEMORY_BYTES = 1 << 30  # that the functions may add to the process; half of what the board has left, where that is less
TEXT = 300  # characters of what an error says

clock = time.perf_counter_ns  # CLOCK_MONOTONIC


class FunctionFailed(Exception):
    """A function raised; the message begins with its key in the plan."""


class _Function:
    """A function of the user's: whatever it raises becomes FunctionFailed."""

    def __init__(self, key: str, asked: wire.OwnFunction, path: str, folder: str) -> None:
        self.name, self.folder = "task.%s: %s:%s" % (key, asked.module, asked.name), folder
        try:
            self.call = getattr(_module(asked, path, folder), asked.name)
        except BaseException as error:
            raise self.failed(error) from error

    def failed(self, error: BaseException) -> FunctionFailed:
        try:
            what = "%s: %s" % (type(error).__name__, wire.shortened(str(error), TEXT))
        except BaseException:
            what = type(error).__name__
        inside = [each for each in traceback.extract_tb(error.__traceback__) if each.filename.startswith(self.folder)]
        where = " (%s, line %s)" % (os.path.basename(inside[-1].filename), inside[-1].lineno) if inside else ""
        return FunctionFailed("%s raised %s%s" % (self.name, what, where))


def _module(asked: wire.OwnFunction, path: str, folder: str) -> Any:
    """Return the module, the same for two functions of one file, under a name that no other module has."""
    name = "own_%s_%s" % (asked.module, asked.sha256)
    if name not in sys.modules:
        place = os.path.join(folder, asked.sha256, asked.module + ".py")
        os.mkdir(os.path.dirname(place))
        os.symlink(path, place)
        spec: Any = importlib.util.spec_from_file_location(name, place)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


class Chain:
    """It is used like a model: `feed` takes a row, and `invoke` is what is timed."""

    def __init__(
        self, launch: wire.Launch, model: Any, feeds: Feeds, paths: Sequence[str], folder: str, messages: Messages
    ) -> None:
        """`paths`: of the rows and of the files of the functions."""
        import numpy as np

        asked: Any = launch.end_to_end
        self.asked, self.model, self.asarray, files = asked, model, np.asarray, list(paths)
        columns = [(each.name, mapped(files.pop(0), each.name)) for each in asked.rows]
        # arrays of one row, mapped to be read: nobody can change them
        self.rows: List[Dict[str, Any]] = [
            {name: np.asarray(column[index : index + 1]) for name, column in columns}
            for index in range(len(columns[0][1]))
        ]
        self.messages = messages
        _bound_memory()
        self.preprocess: Optional[_Function] = None
        self.postprocess: Optional[_Function] = None
        for key in ("preprocess", "postprocess"):
            messages.enter(key, 1)
            if getattr(asked, key):
                setattr(self, key, _Function(key, getattr(asked, key), files.pop(0), folder))
        self.fixed = feeds.row(0)  # constants and zeros, which no function makes
        self.row: Dict[str, Any] = {}
        self.runs, self.room = 0, launch.timed_max_runs
        self.parts_ns: Tuple[Any, ...] = tuple(array.array("q", bytes(8 * self.room)) for _ in range(2))

    def first_rows(self) -> Dict[str, Any]:
        """Run the first rows. Returns fields of wire.EndToEndTimed."""
        golden: List[float] = []
        answer: Any = {}
        for row in self.rows[: wire.GOLDEN_ROWS]:
            self.messages.enter("preprocess", 1)
            self.feed(row, fresh=True)
            arrays = self._before()
            golden += golden_values([each for each, (name, _) in zip(arrays, self.asked.fed) if name])  # noqa: B905
            self.model.feed(self.model.fitted(arrays), fresh=True)
            self.model.invoke()
            self.messages.enter("postprocess", 1)
            answer = self._after()
        gives = [{"name": str(name), "shape": self.asarray(each).shape[1:]} for name, each in (answer or {}).items()]
        return {"golden": finite(golden), "gives": gives}

    def feed(self, row: Dict[str, Any], fresh: bool) -> None:  # noqa: ARG002 - as a model's
        self.row = dict(row)  # a function may take arrays out of it

    def invoke(self) -> None:
        start_ns = clock()
        self.model.feed(self.model.fitted(self._before()), fresh=False)
        given_ns = clock()
        self.model.invoke()
        answered_ns = clock()
        self._after()
        index = self.runs % self.room
        self.parts_ns[0][index], self.parts_ns[1][index] = given_ns - start_ns, answered_ns - given_ns
        self.runs += 1

    def last(self, runs: int) -> Dict[str, List[int]]:
        """Return the parts of the last `runs` times."""
        order = [index % self.room for index in range(self.runs - runs, self.runs)]
        preprocess_ns, inference_ns = ([part[index] for index in order] for part in self.parts_ns)
        return {"preprocess_ns": preprocess_ns, "inference_ns": inference_ns}

    def _before(self) -> List[Any]:
        given = self.row
        if self.preprocess is not None:
            try:
                given = self.preprocess.call(given)
            except BaseException as error:
                raise self.preprocess.failed(error) from error
        return [
            self.asarray(given[name])[0].astype(dtype, copy=False) if name else fixed
            for (name, dtype), fixed in zip(self.asked.fed, self.fixed)  # noqa: B905 - Python 3.8
        ]

    def _after(self) -> Any:
        outputs = [each if each.shape[:1] == (1,) else each[None] for each in self.model.outputs()]
        if self.postprocess is None:
            return None
        try:
            return self.postprocess.call(dict(zip(self.asked.outputs, outputs)))  # noqa: B905 - Python 3.8
        except BaseException as error:
            raise self.postprocess.failed(error) from error


def _bound_memory() -> None:
    """Let an allocation that would make the board swap, or end its programs, fail in Python (setrlimit(2): RLIMIT_DATA)."""
    has, left = procfs.kib("proc/self/status", "VmData"), procfs.kib("proc/meminfo", "MemAvailable")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if has is not None and hard == resource.RLIM_INFINITY:
        most = has + min(MEMORY_BYTES, MEMORY_BYTES if left is None else left // 2)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
