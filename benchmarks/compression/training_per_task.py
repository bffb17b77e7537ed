"""Do quantize_aware and recover help a model of each kind of task more than plain training of as many epochs?

    .venv/bin/python benchmarks/compression/training_per_task.py [--only regression ...] [--seeds 1 2 3]

The models are those of examples/ that a plan can train. Plain training is `model.fit` with Adam and the schedule that our passes have, called by [training]
function: of the whole model, which is quantized after it, against quantize_aware; and of the model without a quarter of its channels,
against recover with the model before as a teacher. Both have the same epochs, rows, batches, first learning rate and seed, and keep the
weights that are better on the rows held out. The detector has no loss by name: its own function trains on both sides, and there is
nothing to compare with recover. Each file is judged on all evaluation rows by the metric of the example's plan; differences are paired
by seed.
"""

import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.experiment import SEEDS, of_seeds, spread, table
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT, results
from pipeline import flow, plan
from pipeline.progress import Silent

PARTS = ("model", "task", "data")  # of an example's plan: what else it says is replaced here
PLAIN = """
def fit(model, rows, epochs, callbacks, batch_size, learning_rate):
    import keras

    rate = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * -(-len(rows) // batch_size)) if {decay} else learning_rate
    model.compile(keras.optimizers.Adam(rate), {loss})
    model.fit(rows.dataset(batch_size){both}, epochs=epochs, callbacks=callbacks, verbose=0)
"""
DECAY = True  # as our passes let it; False: a constant rate, which learns more where epochs are few
MSE, CLASSES = '"mse"', "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
PLAIN_OF = {
    "regression": PLAIN.format(loss=MSE, both="", decay=DECAY),
    "anomaly": PLAIN.format(
        loss=MSE, both=".map(lambda x: (x, x))", decay=DECAY
    ),  # it has no labels: its rows are what it restores
    "segmentation": PLAIN.format(loss=CLASSES, both="", decay=DECAY),
    "detection": None,  # train:fit of the example
}
EPOCHS = {"regression": 5, "anomaly": 5, "segmentation": 2, "detection": 2}
HALF = '[[compress]]\npass = "prune_channels"\nratio = 0.25\n'
HOW = "epochs = {epochs}, learning_rate = 1e-3"
COMPARED = {  # title -> the passes of ours, those of the plain side, whose training is the function, and the file that is judged
    "quantize_aware": (
        f'[[compress]]\npass = "quantize_aware"\nrecover = {{{{ {HOW}{{teacher}} }}}}\n',
        f'[[compress]]\npass = "recover"\n{HOW.replace(", ", chr(10))}\n',
        "tflite-int8",
    ),
    "recover": (
        f"{HALF}recover = {{{{ {HOW}, distill = true }}}}\n",
        f"{HALF}recover = {{{{ {HOW} }}}}\n",
        "tflite-fp32",
    ),
}


class Example:
    """A copy of an example, in which plans are run."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder / name
        hidden = shutil.ignore_patterns("out", ".edgepress", "__pycache__")
        shutil.copytree(ROOT / "examples" / name, self.folder, ignore=hidden)
        text = (self.folder / "edge.toml").read_text()
        self.head = [part for part in text.split("\n\n") if part.startswith(tuple(f"[{each}]" for each in PARTS))]
        self.plain = "train:fit"
        if PLAIN_OF[name] is not None:
            (self.folder / "plain.py").write_text(PLAIN_OF[name])
            self.plain = "plain:fit"

    def metric(self, passes: str, file: str, seed: int, *, plain: bool) -> tuple[str, float]:
        """Return the title of the plan's metric, and its value of a file of the compressed model."""
        teacher = ", distill = true" if self.name == "anomaly" else ""  # it has no labels
        function = f'[training]\nfunction = "{self.plain}"' if plain or PLAIN_OF[self.name] is None else ""
        tables = [*self.head, function, f"[convert]\nformats = ['{file}']"]
        text = f"seed = {seed}\n{passes.format(epochs=EPOCHS[self.name], teacher=teacher)}\n" + "\n\n".join(tables)
        path = self.folder / "edge.toml"
        path.write_text(text)
        now = flow.run(plan.read(path), Silent(), until="convert")
        (found,) = (each for each in now.converted if (each.variant, each.format) == ("compressed", file))
        return now.loaded.data.tasks[0].title, found.agreement.qualities[0].value


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=PLAIN_OF, default=PLAIN_OF)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    given = parser.parse_args()
    print(describe(), flush=True)
    lines = []
    with results(__file__) as add, tempfile.TemporaryDirectory() as folder:
        for name in given.only:
            example = Example(name, Path(folder))
            for title, (passes, control, file) in COMPARED.items():
                if title == "recover" and PLAIN_OF[name] is None:
                    continue
                found: tuple[list[float], list[float]] = ([], [])
                for seed in given.seeds:
                    for values, text, plain in zip(found, (passes, control), (False, True), strict=True):
                        metric, value = example.metric(text, file, seed, plain=plain)
                        values.append(value)
                    print(f"  {name}, {title}, seed {seed}: {found[0][-1]:.4f} against {found[1][-1]:.4f}", flush=True)
                differences = [one - other for one, other in zip(*found, strict=True)]
                lines.append((name, title, metric, *(spread(each, 4) for each in (*found, differences))))
                for side, values in zip(("", ", plain training"), found, strict=True):
                    add(
                        f"{metric}, {title}{side}",
                        round(statistics.fmean(values), 4),
                        "",
                        of=name,
                        **of_seeds(values, 4),
                    )
                add(
                    f"{metric}, {title}, difference",
                    round(statistics.fmean(differences), 4),
                    "",
                    of=name,
                    **of_seeds(differences, 4),
                )
    print(table(("example", "pass", "metric", "with the pass", "plain training", "difference"), lines))


if __name__ == "__main__":
    main()
