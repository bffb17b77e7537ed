"""Mode "end_to_end": a row through the user's `preprocess`, the model and `postprocess`, which are timed as one.

The functions are Python of the user's own. They may raise, never return, end the process or take all memory: that costs this launch and nothing
else, since the process of such a launch does nothing more, and the host asks for it when everything else is measured.
"""

import array
import importlib.util
import os
import resource
import sys
import time
import traceback
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

from device_agent import wire
from device_agent.bench.feeds import Feeds, finite, golden_values, mapped
from device_agent.bench.messages import Messages
from device_agent.board import procfs

MEMORY_BYTES = 1 << 30  # that the functions may add to the process; half of what the board has left, where that is less
TEXT = 300  # characters of what an error says

clock = time.perf_counter_ns  # CLOCK_MONOTONIC
Arrays = Mapping[str, Any]


class FunctionFailed(Exception):
    """A function did something wrong; the message begins with its key in the plan."""


class _Function:
    def __init__(self, key: str, asked: wire.OwnFunction, path: str, folder: str) -> None:
        """Import the file. FunctionFailed if it raises, or has no such function."""
        self.key, self.name = "task." + key, "%s:%s" % (asked.module, asked.name)
        self.module, self.folder = asked.module, folder
        try:
            self.call: Callable[[Dict[str, Any]], Any] = getattr(_module(asked, path, folder), asked.name)
        except BaseException as error:  # what a user's module raises can be anything
            raise self.raised(error) from error

    def wrong(self, what: str) -> FunctionFailed:
        return FunctionFailed("%s: %s %s" % (self.key, self.name, what))

    def raised(self, error: BaseException) -> FunctionFailed:
        *_, line = traceback.format_exception_only(type(error), error)
        inside = [each for each in traceback.extract_tb(error.__traceback__) if each.filename.startswith(self.folder)]
        number = error.lineno if isinstance(error, SyntaxError) else inside[-1].lineno if inside else None
        where = " (%s.py, line %d)" % (self.module, number) if number else ""
        return self.wrong("raised %s%s" % (wire.shortened(line.strip(), TEXT), where))

    def arrays(self, given: Any) -> Dict[str, Any]:
        """FunctionFailed unless it is a dict of arrays with one row."""
        import numpy as np

        if not isinstance(given, Mapping) or not given:
            raise self.wrong("returned an object of type %s, and not a dict of arrays" % type(given).__name__)
        found = {str(name): np.asarray(each) for name, each in given.items()}
        for name, each in found.items():
            if each.shape[:1] != (1,) or each.dtype.kind not in "fiub":
                raise self.wrong("gave '%.100s' as %s of shape %s for one row" % (name, each.dtype, each.shape))
        return found


def _module(asked: wire.OwnFunction, path: str, folder: str) -> Any:
    """Return the module; the same for two functions of one file. Its name cannot be that of another one."""
    name = "own_%s_%s" % (asked.module, asked.sha256)
    if name not in sys.modules:
        own = os.path.join(folder, asked.sha256)
        os.mkdir(own)
        place = os.path.join(own, asked.module + ".py")
        os.symlink(path, place)
        spec = importlib.util.spec_from_file_location(name, place)
        if spec is None or spec.loader is None:
            raise ImportError("it is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # where dataclasses look for it
        spec.loader.exec_module(module)
    return sys.modules[name]


class Chain:
    """It is used like a model: `feed` takes a row, and `invoke` is what is timed."""

    def __init__(self, launch: wire.Launch, model: Any, feeds: Feeds, paths: Sequence[str], folder: str) -> None:
        """`paths`: of the rows and of the files of the functions. FunctionFailed."""
        asked = launch.end_to_end
        assert asked is not None  # bench/check.py
        self.asked, self.model = asked, model
        files = list(paths)
        self.rows = _rows([(each.name, mapped(files.pop(0), each.name)) for each in asked.rows])
        _bound_memory()
        self.preprocess, self.postprocess = (
            _Function(key, each, files.pop(0), folder) if each else None
            for key, each in (("preprocess", asked.preprocess), ("postprocess", asked.postprocess))
        )
        self.fixed = feeds.row(0)  # constants and zeros, which no function makes
        self.row: Dict[str, Any] = {}
        self.given: Any = {}
        self.answer: Any = {}
        self.runs, self.room = 0, launch.timed_max_runs
        self.parts_ns: Tuple[Any, ...] = tuple(array.array("q", bytes(8 * self.room)) for _ in range(2))

    def first_rows(self, messages: Messages) -> Dict[str, Any]:
        """Run the first rows, and look closely at what the functions return. Returns fields of wire.EndToEndTimed."""
        golden: List[float] = []
        gives: Sequence[wire.Given] = ()
        for row in self.rows[: wire.GOLDEN_ROWS]:
            self.feed(row, fresh=True)
            messages.enter("preprocess", 1)
            arrays = self._before()
            if self.preprocess is not None:
                self.preprocess.arrays(self.given)
            made = [each for each, (name, _) in zip(arrays, self.asked.fed) if name]  # noqa: B905 - Python 3.8
            golden += golden_values(made)
            self._give(arrays)
            self.model.invoke()
            messages.enter("postprocess", 1)
            self._after()
            if self.postprocess is not None:
                found = self.postprocess.arrays(self.answer)
                gives = [wire.Given(name, tuple(each.shape[1:])) for name, each in found.items()]
        return {"golden": finite(golden), "gives": [vars(each) for each in gives]}

    def feed(self, row: Arrays, fresh: bool) -> None:  # noqa: ARG002 - as a model's
        self.row = dict(row)  # a function may take arrays out of it

    def invoke(self) -> None:
        start_ns = clock()
        self._give(self._before())
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
        import numpy as np

        function = self.preprocess
        try:
            self.given = given = self.row if function is None else function.call(self.row)
            return [
                np.asarray(given[name])[0].astype(dtype, copy=False) if name else fixed
                for (name, dtype), fixed in zip(self.asked.fed, self.fixed)  # noqa: B905 - Python 3.8
            ]
        except BaseException as error:
            raise (ValueError(str(error)) if function is None else function.raised(error)) from error

    def _give(self, arrays: List[Any]) -> None:
        try:
            self.model.feed(self.model.fitted(arrays), fresh=False)
        except ValueError as error:
            raise (
                error if self.preprocess is None else self.preprocess.wrong("made a row that does not fit: %s" % error)
            ) from error

    def _after(self) -> None:
        outputs = [each if each.shape[:1] == (1,) else each[None] for each in self.model.outputs()]
        if self.postprocess is not None:
            named = dict(zip(self.asked.outputs, outputs))  # noqa: B905 - Python 3.8
            try:
                self.answer = self.postprocess.call(named)
            except BaseException as error:
                raise self.postprocess.raised(error) from error


def _rows(columns: Sequence[Tuple[str, Any]]) -> List[Arrays]:
    """Return each row, as arrays with a first axis of 1. They are mapped to be read: nobody can change them."""
    import numpy as np

    counts = {len(column) for _, column in columns}
    if len(counts) != 1:
        raise ValueError("the rows before the functions are %s: they must be as many" % sorted(counts))
    return [{name: np.asarray(column[index : index + 1]) for name, column in columns} for index in range(counts.pop())]


def _bound_memory() -> None:
    """Let an allocation that would make the board swap, or end its programs, fail in Python (setrlimit(2): RLIMIT_DATA)."""
    has, left = procfs.kib("proc/self/status", "VmData"), procfs.kib("proc/meminfo", "MemAvailable")
    if has is None:
        return
    most = has + min(MEMORY_BYTES, MEMORY_BYTES if left is None else left // 2)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
