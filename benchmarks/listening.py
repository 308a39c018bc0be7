"""What TensorBoard costs a run: seconds in its listener and in finding its examples, beside the epochs' own.

    python -m benchmarks.listening        needs data/demo (sh run_demo.sh)

Stages 1 and 2 of the demo, an epoch and two, of which the first writes pictures as every fifth does.
"""

import json
import tempfile
import time
from pathlib import Path

from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.contracts import Modality
from tokenmatcher.datasets.sysu import Sysu
from tokenmatcher.errors import UserError
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.machine import Machine, Randomness
from tokenmatcher.methods import tokenmatcher as method
from tokenmatcher.mining.matchers.greedy import match
from tokenmatcher.models.weights import load_model
from tokenmatcher.presets import preset
from tokenmatcher.report.log import JsonLines
from tokenmatcher.report.tables import table
from tokenmatcher.report.tensorboard import EVERY, TensorBoard
from tokenmatcher.training.checkpoint import RunFolder
from tokenmatcher.training.trainer import Trainer


class Timed(TensorBoard):
    """Seconds of each epoch's call."""

    def __init__(self, images):
        super().__init__(images)
        self.seconds = []

    def on_epoch(self, record):
        start = time.perf_counter()
        super().on_epoch(record)
        self.seconds.append(time.perf_counter() - start)


def measure(data_dir, folder):
    recipe, dataset = preset("sysu", "demo").override({"epochs": (1, 2)}), Sysu()
    size = {"height": recipe.model.height, "width": recipe.model.width, "interpolation": recipe.data.resize}
    records = dataset.training(data_dir)
    images = {m: ImageSet.load(records[m], m, data_dir / "store", f"train-{m}", **size) for m in Modality}
    random, machine, listener = Randomness(1), Machine(), Timed(images)
    examples, examples_of = [], method.examples_of

    def timed_examples(targets):
        start = time.perf_counter()
        found = examples_of(targets)
        examples.append(time.perf_counter() - start)
        return found

    method.examples_of = timed_examples
    trainer = Trainer(
        method=method.TokenMatcher(recipe, dataset, images, machine, match),
        images=images,
        network=load_model("pretrained/demo_vit.pth", config=recipe.model)[0],
        machine=machine,
        random=random,
        folder=RunFolder(folder, "tokenmatcher", "sysu", None, recipe),
        listeners=[listener, JsonLines(folder)],
    )
    for one in trainer.listeners:
        one.on_begin(folder, 0)
    trainer.train(["1", "2"])
    method.examples_of = examples_of
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [sum(line["seconds"].values()) for line in lines], listener.seconds, examples


def main():
    parser = benchmark_parser("listening", "What TensorBoard costs a run.")
    parser.add_argument("--data-dir", type=Path, default=Path("data/demo"), help="(default %(default)s)")
    given = parser.parse_args()
    if not given.data_dir.is_dir():
        raise UserError(f"--data-dir {given.data_dir}: no such folder; sh run_demo.sh makes it")
    with tempfile.TemporaryDirectory() as folder:
        epochs, listener, examples = measure(given.data_dir, Path(folder))
    # Of stage 2's epochs the first has pictures, as one of `EVERY`.
    pictures, plain = listener[1], listener[2]
    mean = (pictures + (EVERY - 1) * plain) / EVERY + sum(examples) / len(examples)
    epoch = sum(epochs[1:]) / len(epochs[1:])
    share = mean / epoch
    rows = [[f"{1000 * x:.1f} ms" for x in (pictures, plain, max(examples), mean, epoch)] + [f"{100 * share:.2f} %"]]
    print(table(["with pictures", "without", "finding examples", "mean of an epoch", "epoch", "share"], rows))
    result = {"epochs": epochs, "listener": listener, "examples": examples, "mean": mean, "share_of_an_epoch": share}
    write_result(given.out, "listening", result)


if __name__ == "__main__":
    run(main)
