"""What do 8 bits cost a model of each kind of task, by edgepress and by the plain library's own call?

    .venv/bin/python benchmarks/compression/int8_per_task.py [--only regression ...]

The models are those of examples/, without passes; each file is judged on all evaluation rows by the metric of its plan. The plain calls
get the same calibration rows: tf.lite's converter with a representative data set, and onnxruntime's quantize_static (QDQ, weights of each
channel) on the same onnx-fp32 file. A net with a state has no plain call that would calibrate it.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.experiment import table
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT, results
from pipeline import flow, frameworks, plan
from pipeline.progress import Silent
from pipeline.quality import judge
from pipeline.store import Store

TASKS = ("regression", "anomaly", "segmentation", "detection", "keyword_stream")
PARTS = ("model", "task", "data")  # of an example's plan: the rest is about boards
FORMATS = ("tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8")


def converted(name: str, folder: Path) -> flow.Run:
    """Load an example, and convert it as it is to all formats."""
    shutil.copytree(ROOT / "examples" / name, folder, ignore=shutil.ignore_patterns("out", ".edgepress", "__pycache__"))
    text = (folder / "edge.toml").read_text()
    tables = [part for part in text.split("\n\n") if part.startswith(tuple(f"[{each}]" for each in PARTS))]
    (folder / "edge.toml").write_text("\n".join([*tables, f"[convert]\nformats = {list(FORMATS)}"]))
    return flow.run(plan.read(folder / "edge.toml"), Silent(), until="convert")


def plain_files(now: flow.Run, folder: Path) -> dict[str, Path]:
    """Return what the plain libraries make of the same model and rows."""
    import keras
    import tensorflow as tf
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    data, store = now.loaded.data, now.store
    (column,) = data.calibration.inputs
    rows = np.load(store.path(column.artifact))
    files = {"tflite-int8": folder / "plain.tflite", "onnx-int8": folder / "plain.onnx"}
    model = keras.models.load_model(folder / "model.keras", compile=False)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([row[None]] for row in rows)
    files["tflite-int8"].write_bytes(converter.convert())

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = ({source.inputs[0].name: row[None]} for row in rows)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.left, None)

    source = next(each for each in now.converted if each.format == "onnx-fp32")
    quantize_static(store.path(source.artifact), files["onnx-int8"], Reader(), per_channel=True)
    return files


def metric(now: flow.Run, path: Path, format_name: str) -> float:
    """Return the plan's metric of a file, on this host and all evaluation rows."""
    data, store, model = now.loaded.data, now.store, now.loaded.model
    runner = frameworks.open_file(path, format_name, path.name)
    (column,) = data.evaluation.inputs
    rows = np.load(store.path(column.artifact), mmap_mode="r")
    (given,) = runner.inputs
    answers = [runner.run({given.name: np.asarray(row)[None]}) for row in rows]
    named = _by_name(runner, answers, model)
    with contextlib.closing(Store(store.root)) as own:  # that of the run is closed
        return judge.qualities(data.tasks, named, data.evaluation, own, path.parent)[0].value


def _by_name(runner: frameworks.Runner, answers: list[Any], model: Any) -> dict[str, np.ndarray]:
    """Return the answers under the model's own names: the plain files call them otherwise, and are known by the size of a row."""
    sizes = {int(np.prod(each.shape[1:])): each.name for each in model.outputs}
    found = {}
    for place, _ in enumerate(runner.outputs):
        whole = np.concatenate([np.asarray(row[place]) for row in answers])
        found[sizes[whole[0].size] if len(sizes) > 1 else model.outputs[0].name] = whole
    return found


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=TASKS)
    given = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(describe(), flush=True)
    lines = []
    with results(__file__) as add:
        for name in given.only:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary) / name
                now = converted(name, folder)
                task, model = now.loaded.data.tasks[0], now.loaded.model
                files = {each.format: each.agreement.qualities[0].value for each in now.converted}
                stateful = bool(model.state)
                plain = (
                    {}
                    if stateful
                    else {
                        each: metric(now, path, each.split("-")[0]) for each, path in plain_files(now, folder).items()
                    }
                )
                lines.append([name, task.title, f"{model.qualities[0].value:.4f}", *(f"{files[each]:.4f}" for each in FORMATS),
                              *(f"{plain[each]:.4f}" if plain else "-" for each in ("tflite-int8", "onnx-int8"))])  # fmt: skip
                for each, value in files.items():
                    add(f"{task.title}, {each}", round(value, 4), "", of=name)
                for each, value in plain.items():
                    add(f"{task.title}, {each} by the plain call", round(value, 4), "", of=name)
    heads = ["example", "metric", "the model", *FORMATS, "tflite-int8, plain call", "onnx-int8, plain call"]
    print(table(heads, lines))
    print(f"load average at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
