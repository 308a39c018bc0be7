"""The methods and the matchers beside each other on rendered people.

    python -m benchmarks.methods

Every method trains from the same start, with the same network, batch and number of steps in the stages that all have;
TokenMatcher's camera stage is its own. TokenMatcher with each matcher: stage 2 alone, from one stage 1 and camera stage
a seed. The people and the test are the demo's. Runs are made in --jobs processes, each on one thread, so that their
seconds can be compared with each other only. What was interrupted goes on: give the same command again.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.demo import METRICS, PROTOCOLS, draw_people
from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.contracts import Modality
from tokenmatcher.doors import MATCHERS
from tokenmatcher.errors import UserError
from tokenmatcher.presets import PRESETS, preset
from tokenmatcher.report.tables import table
from tokenmatcher.training import checkpoint

OURS = "tokenmatcher"
BEFORE_MATCHING = "tokenmatcher, before stage 2"
HEAD = ("rank-1", "mAP", "indoor rank-1", "indoor mAP", "label ARI", "matches right", "matchable", "seconds")


@dataclass(frozen=True)
class Run:
    """One training.

    flags: of `train_sysu.py`, beside preset and seed.
    after: the run whose last weights it goes on from.
    """

    name: str
    flags: tuple[str, ...]
    after: str | None = None


def planned():
    """All runs of a seed; those that others go on from first."""
    return [
        Run(BEFORE_MATCHING, ("--stages", "1", "camera")),
        *(Run(f"{OURS}, {name}", ("--stages", "2", "--matcher", name), BEFORE_MATCHING) for name in MATCHERS),
        *(Run(method, ("--method", method)) for method in PRESETS if method != OURS),
    ]


def folder(work, name, seed):
    return work / f"{name.replace(', ', '-').replace(' ', '_')}_seed{seed}"


def train(work, data, planned_run, seed):
    """Train one run to its end, from where an interruption left it.

    Raises:
        UserError: it failed; its folder has what it said.
    """
    logs = folder(work, planned_run.name, seed)
    if (logs / "done").is_file():
        return
    begun = any(logs.glob("stage*/*.pt"))
    resume = "auto"
    if planned_run.after and not begun:
        resume = str(last_checkpoint(folder(work, planned_run.after, seed)))
    words = ["--preset", "demo", "--data-dir", data, "--logs-dir", logs, "--seed", seed, "--device", "cpu"]
    words += ["--no-progress", "--resume", resume, *planned_run.flags]
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / "said.txt").open("a") as said:
        status = subprocess.run(
            [sys.executable, "train_sysu.py", *map(str, words)],
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ).returncode
    if status:
        raise UserError(f"{planned_run.name}, seed {seed}: exit status {status}; see {logs / 'said.txt'}")
    (logs / "done").touch()


def last_checkpoint(logs):
    """The newest of a run's stages."""
    return max(logs.glob("*/last.pt"), key=lambda path: path.stat().st_mtime)


def measured(logs):
    """What a run came to: scores of its last weights, and its last epoch's labels and matches."""
    records = [json.loads(line) for line in (logs / "log.jsonl").read_text().splitlines()]
    last, scores = records[-1], checkpoint.read(last_checkpoint(logs))["scores"]
    match = last.get("match", {})
    return {
        "scores": {protocol: {metric: scores[protocol][metric] for metric in METRICS} for protocol in PROTOCOLS},
        "ari": float(np.mean([last["labels"][m.value]["ari"] for m in Modality])),
        "right": match.get("right"),
        "matchable": match.get("matchable"),
        "seconds": sum(sum(record["seconds"].values()) for record in records),
    }


def cells(runs):
    """Mean and sample standard deviation over seeds, under HEAD."""

    def over(values, scale=1.0, digits=1):
        if any(value is None for value in values):
            return "-"
        spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
        return f"{scale * np.mean(values):.{digits}f} ± {scale * spread:.{digits}f}"

    scores = [over([found["scores"][p][m] for found in runs], 100) for p in PROTOCOLS for m in METRICS]
    shares = [over([found[name] for found in runs], digits=2) for name in ("ari", "right", "matchable")]
    return [*scores, *shares, f"{np.mean([found['seconds'] for found in runs]):.0f}"]


def main():
    parser = benchmark_parser("methods", "The methods and the matchers beside each other on rendered people.")
    parser.add_argument("--work", type=Path, default=Path("logs/benchmark_methods"), help="(default %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default 1 2 3)")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default %(default)s)")
    given = parser.parse_args()
    data = Path("data/demo")
    draw_people(data, "tuned on")
    runs = planned()
    # TokenMatcher's stage 1 with camera stage first: others go on from it.
    for kind in (False, True):
        batch = [(one, seed) for seed in given.seeds for one in runs if bool(one.after) is kind]
        with ThreadPoolExecutor(given.jobs) as pool:
            list(pool.map(lambda asked: train(given.work, data, *asked), batch))
    result = {
        one.name: {seed: measured(folder(given.work, one.name, seed)) for seed in given.seeds}
        for one in runs
        if one.name != BEFORE_MATCHING
    }
    before = {seed: measured(folder(given.work, BEFORE_MATCHING, seed))["seconds"] for seed in given.seeds}
    for name, found in result.items():
        if name.startswith(OURS):
            for seed, one in found.items():
                one["seconds"] += before[seed]
    print(table(["", *HEAD], [[name, *cells(list(found.values()))] for name, found in result.items()]))
    recipes = {method: preset("sysu", "demo", method).to_dict() for method in PRESETS}
    write_result(given.out, "methods", {"recipes": recipes, "runs": result})


if __name__ == "__main__":
    run(main)
