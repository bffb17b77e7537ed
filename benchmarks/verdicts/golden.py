"""How often does the check of a board's answers call right answers wrong, and wrong ones right?

    .venv/bin/python benchmarks/verdicts/golden.py [--redraws 500] [--rows 1000]

Right answers: of INT8 files in the runtimes themselves (this machine is the board; versions and threads as named), and in other kernels
than the reference's, which stand in for those of another processor: LiteRT's plain reference kernels, XNNPACK against the built-in ones. Wrong
answers: the same files with one fault in one layer, run by the right kernels. A fault is *grave* where it changes the class of 1 % of the
rows or more. New rows are drawn each time; intervals are 95 % (Clopper and Pearson). `before` is the rule until 0.1: the first 4 rows
against XNNPACK, relative L2 above 0.10.
"""

import argparse
import contextlib
import hashlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.experiment import example_data
from benchmarks._support.launches import LAUNCH
from benchmarks._support.machine import describe
from benchmarks._support.results import results
from device_agent import wire
from device_agent.record import replace
from pipeline import flow, plan
from pipeline.measure import golden
from pipeline.progress import Silent
from pipeline.records import Converted
from pipeline.statistics.order import proportion_interval
from pipeline.store import Store
from targets import Session, inventory, open_session, provision

PLAN = """
[model]
path = "net.keras"
[data]
calibration = "calibration.npz"
evaluation = "evaluation.npz"
[convert]
formats = ["tflite-int8", "onnx-int8"]
"""
OLD_ROWS, OLD_VALUES, OLD_RATIO = 4, 64, 0.10
GRAVE = 0.01
MOST_BYTES = 10**8  # of the answers to all rows
DRAWS = (50, 300)  # rows
RUNS = {  # (runtime, its version, None for the one installed with edgepress; threads)
    "tflite": (
        ("tflite_runtime", None, 1),
        ("tflite_runtime", None, 2),
        ("ai_edge_litert", None, 1),
        ("ai_edge_litert", None, 2),
        ("ai_edge_litert", "2.1.0", 1),
    ),
    "onnx": (
        ("onnxruntime", None, 1),
        ("onnxruntime", None, 2),
        ("onnxruntime", "1.23.2", 1),
        ("onnxruntime", "1.20.1", 1),
    ),
}


class Answered(NamedTuple):
    what: str
    answers: Any
    delegates: tuple[str, ...]
    runtime: str
    grave: bool | None = None  # None where they are right


# --- files


def mobilenet(shape: tuple[int, ...]) -> Any:
    from keras import Input, Model, layers

    def then(x: Any, layer: Any) -> Any:
        return layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(layer(x)))

    x = image = Input(shape)
    x = then(x, layers.Conv2D(16, 3, 2, padding="same", use_bias=False))
    for count, stride in ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1)):
        x = then(x, layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False))
        x = then(x, layers.Conv2D(count, 1, use_bias=False))
    return Model(image, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def resnet8(shape: tuple[int, ...]) -> Any:
    from keras import Input, Model, layers

    def norm(x: Any) -> Any:
        return layers.BatchNormalization(momentum=0.9)(x)

    image = Input(shape)
    x = layers.ReLU()(norm(layers.Conv2D(16, 3, padding="same", use_bias=False)(image)))
    for count, stride in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(norm(layers.Conv2D(count, 3, stride, padding="same", use_bias=False)(x)))
        y = norm(layers.Conv2D(count, 3, padding="same", use_bias=False)(y))
        x = layers.ReLU()(layers.Add()([y, layers.Conv2D(count, 1, stride)(x) if stride > 1 else x]))
    return Model(image, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def untrained(shape: tuple[int, ...]) -> Any:
    """Return eight layers of random weights, whose errors add up: the public case on which the old rule was wrong most often."""
    import keras
    from keras import layers

    x = image = keras.Input(shape)
    for count, stride in ((16, 1), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (64, 1), (64, 1)):
        x = layers.ReLU()(layers.Conv2D(count, 3, stride, padding="same", kernel_initializer="he_normal")(x))
    wide = keras.initializers.RandomNormal(stddev=1.0)
    return keras.Model(
        image, layers.Softmax()(layers.Dense(10, kernel_initializer=wide)(layers.GlobalAveragePooling2D()(x)))
    )


# (how it is made, epochs of training, factor by which the calibration rows are too large: then steps are coarse, and right kernels far apart)
NETS: dict[str, tuple[Callable[[tuple[int, ...]], Any], int, float]] = {
    "MobileNet": (mobilenet, 2, 1),
    "ResNet8": (resnet8, 2, 1),
    "coarse ResNet8": (resnet8, 2, 16),
    "untrained": (untrained, 0, 1),
}


def files(folder: Path, name: str, rows: int) -> tuple[Store, list[Converted]]:
    """Train a net and convert it with the product itself; return the store and the INT8 files."""
    import keras

    make, epochs, too_large = NETS[name]
    data = example_data()
    (x, y), (test, labels) = data.training(), data.evaluation()
    keras.utils.set_random_seed(0)
    model = make(x.shape[1:])
    if epochs:
        model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", jit_compile=False)
        model.fit(x[:12_000], y[:12_000], epochs=epochs, batch_size=64, verbose=0)
    model.save(folder / "net.keras")
    np.savez(folder / "calibration.npz", x=x[-200:] * np.float32(too_large))
    np.savez(folder / "evaluation.npz", x=test[:rows], y=labels[:rows])
    (folder / "edge.toml").write_text(PLAN)
    now = flow.run(plan.read(folder / "edge.toml"), Silent(), until="convert")
    return flow.store_of(now.plan), [each for each in now.converted if each.format.endswith("-int8")]


# --- right answers


def on_board(session: Session, file: Converted, store: Store, rows: bytes) -> Iterator[Answered]:
    model = store.path(file.artifact).read_bytes()
    for each in (model, rows):
        session.put(each, hashlib.sha256(each).hexdigest())
    for runtime, version, threads in RUNS[file.artifact.format]:
        sites, _ = provision.install(session, provision.wheels(runtime, session.machine, version))
        launch = replace(
            LAUNCH,
            mode="evaluate",
            model_sha256=hashlib.sha256(model).hexdigest(),
            model_format=file.artifact.format,
            runtime=runtime,
            sites=sites,
            inputs=(wire.Input(tensor="", shape=(), sha256=hashlib.sha256(rows).hexdigest(), constant=False),),
            outputs=(),
            state=(),
            sequences=False,
            rotated_rows=4,
            threads=threads,
            warmup_min_ns=0,
            warmup_max_ns=1,
            timed_min_ns=1,
            timed_min_runs=1,
            timed_max_runs=1,
            timeout_ns=10**12,
        )
        job = session.submit((launch,), "benchmarks/verdicts/golden.py")
        (launched,) = (each for each in session.follow(job) if not isinstance(each, wire.Event))
        session.forget(job)
        answers = np.load(io.BytesIO(session.get(launched.outputs_sha256[0], MOST_BYTES)))
        yield Answered(f"{runtime} {launched.runtime_version}, {threads} threads", answers, launched.delegates, runtime)


def by_host(data: bytes, x: Any, kind: str) -> Any:
    """Return the answers of LiteRT with one of its sets of kernels."""
    from ai_edge_litert import interpreter as litert

    from pipeline.frameworks import dequantize, quantize

    run = litert.Interpreter(
        model_content=data, num_threads=1, experimental_op_resolver_type=litert.OpResolverType[kind]
    )
    run.allocate_tensors()
    source, target = run.get_input_details()[0], run.get_output_details()[0]
    found = []
    for row in quantize(x, source):
        run.set_tensor(source["index"], row[None])
        run.invoke()
        found.append(run.get_tensor(target["index"])[0])
    return dequantize(np.array(found), target)


# --- wrong answers


def faulty_tflite(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (fault, file) for each layer with weights."""
    from ai_edge_litert.tools import flatbuffer_utils

    def fresh() -> tuple[Any, Any, list[Any]]:
        model = flatbuffer_utils.read_model(str(path))
        graph = model.subgraphs[0]
        return model, graph, [each for each in graph.operators if len(each.inputs) == 3]

    def edited(number: int, operand: int, dtype: str, change: Callable[[Any], Any]) -> bytes:
        model, graph, layers = fresh()
        tensor = graph.tensors[layers[number].inputs[operand]]
        buffer = model.buffers[tensor.buffer]
        values = np.frombuffer(bytes(buffer.data), dtype).reshape(tensor.shape).copy()
        buffer.data = np.frombuffer(change(values).tobytes(), np.uint8)
        return bytes(flatbuffer_utils.convert_object_to_bytearray(model))

    drawn = np.random.default_rng(0)

    def one_sign(values: Any) -> Any:
        flat = values.reshape(-1).view(np.uint8)
        flat[drawn.integers(len(flat))] ^= 0x80
        return values

    def layer_weights(number: int) -> Any:
        model, graph, layers = fresh()
        tensor = graph.tensors[layers[number].inputs[1]]
        return np.frombuffer(bytes(model.buffers[tensor.buffer].data), "i1").reshape(tensor.shape)

    for number in range(len(fresh()[2])):
        axis = (
            3 if layer_weights(number).shape[0] == 1 else 0
        )  # of the output channels: the last one if it is depthwise
        rolled = lambda w, axis=axis: np.ascontiguousarray(np.roll(w, 1, axis))  # noqa: E731
        yield "channels permuted", edited(number, 1, "i1", rolled)
        yield "bias dropped", edited(number, 2, "<i4", np.zeros_like)
        yield "signs of weights flipped", edited(number, 1, "i1", lambda w: w ^ np.int8(-128))
        yield "sign of one weight flipped", edited(number, 1, "i1", one_sign)
        weights = layer_weights(number).astype(np.int32)
        sums = weights.sum(axis=tuple(each for each in range(weights.ndim) if each != axis))
        yield "zero point of its input off by 16", edited(number, 2, "<i4", lambda bias, sums=sums: bias + 16 * sums)


def wrong(file: Converted, store: Store, x: Any, right: Any) -> Iterator[Answered]:
    """Yield the answers of a TFLite file with faults in its layers, from the built-in kernels, whose right answers are `right`."""
    cases = [
        (name, by_host(data, x, "BUILTIN_WITHOUT_DEFAULT_DELEGATES"))
        for name, data in faulty_tflite(store.path(file.artifact))
    ]
    for column in range(right.shape[1]):
        dead = right.copy()
        dead[:, column] = 0
        cases.append(("one output dead", dead))
    for name, answers in cases:
        grave = float(np.mean(answers.argmax(1) != right.argmax(1))) >= GRAVE
        yield Answered(name, answers, (), "tflite_runtime", grave)


# --- rates


def alarms(one: Answered, file: Converted, store: Store, redraws: int, rows: int, of: int) -> tuple[int, int]:
    """Count the alarms of the rule before and of the rule now in `redraws` draws of `rows` rows of all `of`."""
    drawn, before, now = np.random.default_rng(0), 0, 0
    xnnpack, every = np.load(store.path(file.answers[0])), io.BytesIO()
    np.save(every, np.arange(of))
    indices = store.put_bytes(every.getvalue(), "npy")
    (reference,) = golden.references_of(file, one.runtime, one.delegates, indices, store)
    for _ in range(redraws):
        chosen = np.sort(drawn.choice(of, rows, replace=False))
        now += golden.doubt_of(one.answers[chosen], reference._replace(rows=chosen)) is not None
        ours, theirs = (
            each[chosen][:OLD_ROWS].reshape(OLD_ROWS, -1)[:, :OLD_VALUES] for each in (one.answers, xnnpack)
        )
        before += bool(np.linalg.norm(ours - theirs) > OLD_RATIO * max(np.linalg.norm(theirs), 1e-12))
    return before, now


def rate(hits: int, of: int) -> str:
    low, high = proportion_interval(hits, of)
    return f"{hits:>6,} of {of:<6,} {100 * hits / of:6.2f} % ({100 * low:.2f} to {100 * high:.2f})"


def table(add, name: str, cases: Sequence[Answered], file: Converted, store: Store, redraws: int, of: int) -> None:
    groups: dict[tuple[str, bool | None], list[Answered]] = {}
    for each in cases:
        groups.setdefault((each.what, each.grave), []).append(each)
    for (what, grave), members in sorted(groups.items(), key=lambda each: str(each[0])):
        kind = {None: "right", True: "grave", False: "slight"}[grave]
        each_redraws = max(10, redraws // len(members))
        for rows in (each for each in DRAWS if each <= of):
            pairs = [alarms(one, file, store, each_redraws, rows, of) for one in members]
            before, now = (sum(each) for each in zip(*pairs, strict=True))
            count = each_redraws * len(members)
            print(
                f"{name:<27}{kind:<7}{what:<44}{rows:>4} rows  before {rate(before, count):<42} now {rate(now, count)}",
                flush=True,
            )
            for figure, hits in (("called wrong", now), ("called wrong by the rule before", before)):
                share, interval = in_percent(hits, count)
                case = f"{name}, {kind}: {what}"
                add(f"{figure}, {rows} rows", share, "%", of=case, interval=interval, interval_is="95 %")


def in_percent(hits: int, of: int) -> tuple[float, tuple[float, float]]:
    low, high = proportion_interval(hits, of)
    return round(100 * hits / of, 2), (round(100 * low, 2), round(100 * high, 2))


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = command.parser(__doc__)
    parser.add_argument("--redraws", type=int, default=500)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=NETS, default=list(NETS))
    given = parser.parse_args()
    print(describe(), flush=True)
    with results(__file__) as add:
        check_nets(add, given)
    print(f"load average at the end {os.getloadavg()[0]:.2f}")


def check_nets(add, given: argparse.Namespace) -> None:
    for name in given.only:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            with contextlib.redirect_stdout(io.StringIO()):
                store, converted = files(folder, name, given.rows)
            buffer = io.BytesIO()
            x = np.load(folder / "evaluation.npz")["x"]
            np.save(buffer, x)
            target = msgspec.structs.replace(inventory.find("local", folder), root=str(folder / "board"))
            with contextlib.closing(store), open_session(target) as session:
                for file in converted:
                    cases = list(on_board(session, file, store, buffer.getvalue()))
                    if file.artifact.format == "tflite":
                        model = store.path(file.artifact).read_bytes()
                        builtin = np.load(store.path(file.other_answers[0]))
                        plain, xnnpack = by_host(model, x, "BUILTIN_REF"), np.load(store.path(file.answers[0]))
                        cases.append(Answered("plain reference kernels", plain, (), "tflite_runtime"))
                        cases.append(Answered("XNNPACK against built-in", xnnpack, (), "tflite_runtime"))
                        cases += wrong(file, store, x, builtin)
                    table(add, f"{name} {file.format}", cases, file, store, given.redraws, len(x))


if __name__ == "__main__":
    main()
