"""Where the demo's time goes: phases of a whole run, operations of a training step and of an extraction.

    python -m benchmarks.demo_profile        needs sh run_demo.sh's data and log

Phases come from log.jsonl. Operations come from PyTorch's profiler, as shares of all time spent in operations, of a
step of stage 2 (augmentation, forward, backward, optimiser, memories) and of features of images and mirror images.
"""

import json
from collections import defaultdict
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.machine import benchmark_parser, macs_per_image, product_rate, write_result
from benchmarks.step import DemoSteps
from tokenmatcher.cli import run
from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.machine import Machine
from tokenmatcher.models.embedder import Embedder, extract
from tokenmatcher.report.tables import table
from tokenmatcher.training.step import train_step

STEPS, IMAGES = 6, 512
KINDS = {
    "convolutions": ("convolution",),
    "matrix products": ("mm", "bmm", "attention"),
    "norms": ("norm",),
    "copies": ("copy_", "cat", "contiguous", "index", "fill_", "zero_"),
    "optimiser": ("_foreach", "_fused"),
}


def kind_of(operation):
    name = operation.removeprefix("aten::")
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "everything else")


def shares(work):
    """Of all time in operations, by kind; and the seconds."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        work()
    seconds = defaultdict(float)
    for event in found.key_averages():
        if event.key.startswith("aten::"):
            seconds[kind_of(event.key)] += event.self_cpu_time_total / 1e6
    total = sum(seconds.values())
    return {kind: value / total for kind, value in sorted(seconds.items(), key=lambda item: -item[1])}, total


def phases(log):
    """Seconds by stage and phase of a whole run."""
    if not log.is_file():
        raise UserError(f"{log}: no such file; sh run_demo.sh makes it")
    found = defaultdict(lambda: defaultdict(float))
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        for phase, seconds in entry["seconds"].items():
            found[entry["stage"]][phase] += seconds
    return {stage: dict(by) for stage, by in found.items()}


def main():
    parser = benchmark_parser("demo_profile", "Where the demo's time goes.")
    parser.add_argument("--data-dir", type=Path, default=Path("data/demo"), help="(default %(default)s)")
    parser.add_argument("--log", type=Path, default=Path("logs/demo/log.jsonl"), help="(default %(default)s)")
    given = parser.parse_args()
    run_phases = phases(given.log)
    steps = DemoSteps(STEPS + 2, data_dir=given.data_dir)
    batches = steps.batches()

    def train(count):
        for _ in range(count):
            train_step(steps.model, steps.objective, next(batches), steps.optimizer, Machine())

    train(2)
    step, step_seconds = shares(lambda: train(STEPS))
    extraction, extraction_seconds = shares(
        lambda: extract(
            Embedder(steps.model, Modality.VISIBLE),
            steps.sets[Modality.VISIBLE].clustered,
            Machine(),
            index=torch.arange(IMAGES).numpy(),
        )
    )
    macs = macs_per_image(steps.recipe.model)
    images = 2 * steps.recipe.data.batch_size  # of both modalities; forward and twice as much backward
    result = {
        "phases": run_phases,
        "step": {
            "seconds": step_seconds / STEPS,
            "shares": step,
            "gflops": 6 * macs * images / step_seconds * STEPS / 1e9,
        },
        "extraction": {
            "seconds_per_pass": extraction_seconds / (2 * IMAGES),
            "shares": extraction,
            "gflops": 4 * macs * IMAGES / extraction_seconds / 1e9,
        },
        "product_gflops": product_rate(torch.device("cpu"), torch.float32, size=1024) / 1e9,
    }
    rows = [[kind, f"{step.get(kind, 0):.0%}", f"{extraction.get(kind, 0):.0%}"] for kind in step]
    print(table(["", "step", "extraction"], rows))
    print({stage: {phase: round(seconds) for phase, seconds in by.items()} for stage, by in run_phases.items()})
    print({key: result[key] if key == "product_gflops" else result[key]["gflops"] for key in list(result)[1:]})
    write_result(given.out, "demo_profile", result)


if __name__ == "__main__":
    run(main)
