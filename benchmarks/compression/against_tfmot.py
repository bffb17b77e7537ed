"""Are our pruning and clustering as accurate and as fast as those of TensorFlow's Model Optimization Toolkit?

    python3.11 -m venv build/tfmot && build/tfmot/bin/pip install tensorflow-cpu tf_keras six dm-tree
    build/tfmot/bin/pip install --no-deps tensorflow-model-optimization
    .venv/bin/python benchmarks/compression/against_tfmot.py --toolkit build/tfmot/bin/python [--seeds 1 2 3]

Both sides get the same net, weights, rows and epochs. The toolkit works only with the legacy Keras, so it runs in an environment of its
own. Goals: the accuracy at least as good within the spread, and an epoch at most 1.1x as long. Both sides use Adam at 5e-4 along a cosine,
batches of 128, two epochs of 20,000 rows, and raise the sparsity along a polynomial over the first half. The sides alternate, seed by seed.
The time is that of the last epoch.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.experiment import EXAMPLE, SEEDS, example_data, of_seeds, spread, table
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT, change, results
from pipeline.child import ENVIRONMENT

ROWS, EPOCHS, BATCH, RATE = 20_000, 2, 128, 5e-4
CASES = (("sparsity", 0.5), ("sparsity", 0.8), ("sparsity", 0.9), ("clusters", 16))


def ours(path: Path, what: str, amount: float, seed: int) -> dict[str, float]:
    """Run our side in a process of its own, as the product does: `python against_tfmot.py --ours ...`."""
    return _answer([sys.executable, __file__, "--ours", str(path), what, str(amount), str(seed)])


def theirs(python: Path, path: Path, what: str, amount: float, seed: int) -> dict[str, float]:
    script = ROOT / "benchmarks/_support/tfmot_side.py"
    return _answer([str(python), str(script), str(path), what, str(amount), str(EPOCHS), str(seed)])


def _answer(run: list[str]) -> dict[str, float]:
    done = subprocess.run(run, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(run)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def one_of_ours(path: Path, what: str, amount: float, seed: int) -> None:
    import tensorflow as tf

    from pipeline import compress, frameworks
    from pipeline.compress.context import Dataset

    tf.config.experimental.enable_op_determinism()  # as pipeline.compress.chain does
    data = np.load(path)
    model = frameworks.open_keras(EXAMPLE / "model.keras")
    recover = {"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": RATE, "recalibrate": False}
    steps_done: list[tuple[float, int, int]] = []

    def on_progress(done: int, of: int, note: str) -> None:
        if of and "epoch" in note:
            steps_done.append((time.perf_counter(), done, of))

    half = EPOCHS * -(-len(data["x"]) // BATCH) // 2
    settings = {"sparsity": amount, "schedule": {"kind": "polynomial", "end_step": half, "frequency": 10}}
    if (
        what == "clusters"
    ):  # the same kernels as on the toolkit's side, where the depthwise and the last ones stay as they are
        dense = [layer.name for layer in model.layers if "depthwise" in layer.name] + [model.layers[-1].name]
        settings = {"bits": int(np.log2(amount)), "exclude": dense}
    name = "prune_weights" if what == "sparsity" else "codebook"
    applied = compress.apply(
        model, name, training=Dataset(data["x"], data["y"]), tell=on_progress, seed=seed, recover=recover, **settings
    )
    last = [(at, done) for at, done, of in steps_done if done >= of / EPOCHS * (EPOCHS - 1)]
    (first_at, first_done), (last_at, last_done) = last[0], last[-1]
    steps = -(-len(data["x"]) // BATCH)
    after = applied.changed.model
    kernels = [np.asarray(layer.kernel) for layer in after.layers if type(layer).__name__ in ("Conv2D", "Dense")][:-1]
    answers = after.predict(data["x_test"], verbose=0).argmax(-1)
    print(
        json.dumps(
            {
                "accuracy": 100 * float(np.mean(answers == data["y_test"])),
                "epoch_s": (last_at - first_at) / (last_done - first_done) * steps,
                "sparsity": float(sum((k == 0).sum() for k in kernels) / sum(k.size for k in kernels)),
                "most_values": int(max(len(np.unique(k)) for k in kernels)),
            }
        )
    )


def prepare(path: Path) -> None:
    """Write the weights and rows for both sides."""
    import tensorflow as tf

    from pipeline import frameworks

    data = example_data()
    tf.config.set_visible_devices([], "GPU")
    model = frameworks.open_keras(EXAMPLE / "model.keras")
    weights = [values for layer in model.layers if layer.weights for values in layer.get_weights()]
    x, y = data.training()
    x_test, y_test = data.evaluation()
    chosen = np.random.default_rng(0).permutation(len(x))[:ROWS]
    np.savez(
        path, x=x[chosen], y=y[chosen], x_test=x_test, y_test=y_test, **{f"w{i}": w for i, w in enumerate(weights)}
    )


def main() -> None:
    if sys.argv[1:2] == ["--ours"]:
        one_of_ours(Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), int(sys.argv[5]))
        return
    parser = command.parser(__doc__)
    parser.add_argument("--toolkit", type=Path, required=True, help="the Python of the toolkit's environment")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--only", nargs="+", help="sparsity, clusters", default=["sparsity", "clusters"])
    given = parser.parse_args()
    print(f"{describe()}\n", flush=True)
    rows = []
    with results(__file__) as add, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        prepare(path)
        for what, amount in (case for case in CASES if case[0] in given.only):
            found: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
            for seed in given.seeds:
                found["ours"].append(ours(path, what, amount, seed))
                found["theirs"].append(theirs(given.toolkit, path, what, amount, seed))
                print(f"  {what} {amount}, seed {seed}: {found['ours'][-1]} {found['theirs'][-1]}", flush=True)
            ratio = [a["epoch_s"] / b["epoch_s"] for a, b in zip(found["ours"], found["theirs"], strict=True)]
            case = f"sparsity {amount:.0%}".replace("%", " %") if what == "sparsity" else f"{amount:g} clusters"
            for figure, side in (("our accuracy", "ours"), ("the toolkit's accuracy", "theirs")):
                accuracies = [one["accuracy"] for one in found[side]]
                add(figure, round(sum(accuracies) / len(accuracies), 2), "%", of=case, **of_seeds(accuracies))
            add("our epoch against the toolkit's", *change(len(ratio) / sum(ratio)), of=case)
            rows.append(
                (
                    f"{what} {amount:g}",
                    *(f"{spread([one['accuracy'] for one in found[side]])} %" for side in ("ours", "theirs")),
                    f"{spread(ratio)}x",
                )
            )
    print(table(("case", "our accuracy", "the toolkit's", "our epoch / the toolkit's"), rows))


if __name__ == "__main__":
    main()
