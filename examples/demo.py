"""The whole method on rendered people: what it does, how long it will take, and a table that grows row by row.

python -m examples.demo --data-dir data/demo --logs-dir logs/demo --json logs/demo/scores.json

`sh run_demo.sh` draws the people first. What an earlier call made is reused.
"""

import json
import time
from pathlib import Path

import torch

from tokenmatcher.cli import Parser, run, seed
from tokenmatcher.commands.test import check_writable
from tokenmatcher.commands.train import main as train
from tokenmatcher.datasets.sysu import sysu_benchmark
from tokenmatcher.evaluation.evaluate import Evaluator
from tokenmatcher.files import replacing
from tokenmatcher.machine import Machine
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.weights import load_model
from tokenmatcher.presets import preset
from tokenmatcher.report.tables import score_table
from tokenmatcher.training import checkpoint

START = Path("pretrained/demo_vit.pth")
# Seconds of training for one of testing a model: 174 and 184 in the logs of two whole runs. A rough guide.
TRAINING_FOR_TESTING = 180


class Demo:
    """Prints a row as soon as it is known."""

    def __init__(self, data: Path, logs: Path, seed: int, progress: bool) -> None:
        self.data, self.logs, self.seed, self.progress = data, logs, seed, progress
        self.config = preset("sysu", "demo").model
        self.scores: dict[str, dict] = {}
        self.since = time.monotonic()

    def say(self, text: str) -> None:
        seconds = round(time.monotonic() - self.since)
        print(f"\n[{seconds // 60}:{seconds % 60:02d}] {text}", flush=True)

    def row(self, name: str, scores: dict) -> None:
        self.scores[name] = scores
        self.say(f"so far, people never seen in training:\n{self.table('all')}")

    def table(self, mode: str) -> str:
        return score_table({name: scores[mode] for name, scores in self.scores.items()}, f"{mode}-search")

    def untrained(self) -> float:
        """The first two rows; returns the seconds that testing one model takes."""
        evaluate = Evaluator(
            sysu_benchmark(self.data),
            Machine(progress=self.progress),
            height=self.config.height,
            width=self.config.width,
            store_dir=self.data / "store",
        )
        torch.manual_seed(1)  # of what a file does not say
        random = TokenViT(self.config)
        torch.manual_seed(1)
        start = load_model(START, config=self.config)[0]
        self.row("random weights", evaluate(random))
        began = time.monotonic()
        self.row("pre-trained start", evaluate(start))
        return time.monotonic() - began

    def trained(self, stages: str, last: str, name: str) -> None:
        """Train on, as `train_sysu.py` does with these flags, and the row of the model that it ends with."""
        flags = ["--preset", "demo", "--data-dir", self.data, "--logs-dir", self.logs, "--device", "cpu"]
        flags += ["--seed", self.seed, "--resume", "auto", "--stages", stages]
        words = [str(flag) for flag in flags] + ([] if self.progress else ["--no-progress"])
        self.say(f"python train_sysu.py {' '.join(words)}")
        train("sysu", words)
        self.row(name, checkpoint.read(self.logs / last / "last.pt")["scores"])


def main() -> None:
    parser = Parser("The whole method on rendered people, on the CPU.")
    parser.add_argument("--data-dir", type=Path, default=Path("data/demo"), help="(default %(default)s)")
    parser.add_argument("--logs-dir", type=Path, default=Path("logs/demo"), help="(default %(default)s)")
    parser.add_argument("--seed", type=seed, default=1, help="(default %(default)s)")
    parser.add_argument("--json", type=Path, help="write the scores to this file too")
    parser.add_argument("--no-progress", action="store_true", help="no progress bars")
    given = parser.parse_args()
    check_writable(given.json)
    demo = Demo(given.data_dir, given.logs_dir, given.seed, not given.no_progress)
    demo.say(
        "testing random weights and the pre-trained start; then stage 1 (each modality alone), the camera stage\n"
        "(each camera alone) and stage 2 (both modalities together: the paper's contribution)"
    )
    testing = demo.untrained()
    demo.say(f"training takes roughly {max(1, round(testing * TRAINING_FOR_TESTING / 60))} minutes on this machine")
    demo.trained("1", "stage1", "after stage 1")
    demo.trained("camera,2", "stage2", "after stage 2")
    demo.say(f"done; the models are in {given.logs_dir}\n\n{demo.table('all')}\n\n{demo.table('indoor')}")
    if given.json:
        with replacing(given.json) as file:
            file.write(json.dumps(demo.scores, indent=1).encode() + b"\n")


if __name__ == "__main__":
    run(main)
