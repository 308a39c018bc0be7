"""The demo's table: random weights, the pre-trained start, and the models after stage 1 and stage 2.

python -m examples.demo_table --data-dir data/demo --logs-dir logs/demo --json logs/demo/scores.json
"""

import json
from pathlib import Path

import torch

from tokenmatcher.cli import Parser, run
from tokenmatcher.data.protocols import sysu_benchmark
from tokenmatcher.evaluation.evaluate import Evaluator
from tokenmatcher.model.backbone import TokenViT
from tokenmatcher.model.weights import load_model
from tokenmatcher.presets import PRESETS
from tokenmatcher.report.tables import score_table
from tokenmatcher.runtime import replacing


def models(config, start, logs):
    """Name and model of each row; the same seed for what a file does not say."""
    torch.manual_seed(1)
    yield "random weights", TokenViT(config)
    torch.manual_seed(1)
    yield "pre-trained start", load_model(start, config=config)[0]
    for stage in ("stage1", "stage2"):
        yield f"after {stage[:-1]} {stage[-1]}", load_model(logs / stage / "last.pt")[0]


def main():
    parser = Parser("Test the four models of a demo run.")
    parser.add_argument("--data-dir", type=Path, default=Path("data/demo"), help="(default %(default)s)")
    parser.add_argument("--logs-dir", type=Path, default=Path("logs/demo"), help="(default %(default)s)")
    parser.add_argument("--start", type=Path, default=Path("pretrained/demo_vit.pth"), help="(default %(default)s)")
    parser.add_argument("--json", type=Path, help="write the scores to this file too")
    given = parser.parse_args()
    config = PRESETS["sysu"]["demo"].model
    evaluate = Evaluator(
        sysu_benchmark(given.data_dir),
        height=config.height,
        width=config.width,
        store_dir=given.data_dir / "store",
        device=torch.device("cpu"),
    )
    rows = {name: evaluate(model) for name, model in models(config, given.start, given.logs_dir)}
    for mode in ("all", "indoor"):
        print(score_table({name: scores[mode] for name, scores in rows.items()}, f"{mode}-search"), end="\n\n")
    if given.json:
        with replacing(given.json) as file:
            file.write(json.dumps(rows, indent=1).encode() + b"\n")


if __name__ == "__main__":
    run(main)
