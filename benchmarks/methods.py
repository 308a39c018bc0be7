"""The methods and the matchers beside each other on rendered people.

    python -m benchmarks.methods

Every method trains from the same start, with the same network, batch and number of steps in the stages that all have;
TokenMatcher's camera stage is its own. TokenMatcher with each matcher: stage 2 alone, from one stage 1 and camera stage
a seed. The people and the test are the demo's. Runs are made in --jobs processes, each on one thread, so that their
seconds can be compared with each other only. What was interrupted goes on: give the same command again; seeds that the
result file has are not run anew while recipes and --flags are the same.
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
from benchmarks.machine import benchmark_parser, claim, write_result
from tokenmatcher.cli import run
from tokenmatcher.contracts import Modality
from tokenmatcher.doors import MATCHERS
from tokenmatcher.errors import UserError
from tokenmatcher.presets import PRESETS, preset
from tokenmatcher.report.tables import table
from tokenmatcher.training import checkpoint

OURS = "tokenmatcher"
OWN_MATCHER = f"{OURS}, greedy"
BEFORE_MATCHING = f"{OURS}, before stage 2"
HEAD = ("rank-1", "mAP", "indoor rank-1", "indoor mAP", "label ARI", "matches right", "matchable", "time")


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
    """All runs of a seed; what others go on from comes first, and they last, so that nobody waits for it."""
    return [
        Run(BEFORE_MATCHING, ("--stages", "1,camera")),
        *(Run(method, ("--method", method)) for method in PRESETS if method != OURS),
        *(Run(f"{OURS}, {name}", ("--stages", "2", "--matcher", name), BEFORE_MATCHING) for name in MATCHERS),
    ]


def folder(work, name, seed):
    return work / f"{name.replace(', ', '-').replace(' ', '_')}_seed{seed}"


def train(work, data, planned_run, seed, before, flags):
    """Train one run to its end, from where an interruption left it, once that `before` it has ended.

    Raises:
        UserError: it failed; its folder has what it said.
    """
    logs = folder(work, planned_run.name, seed)
    if (logs / "done").is_file():
        return
    resume = "auto"
    if before is not None:
        before.result()
    if planned_run.after and not any(logs.glob("stage*/*.pt")):
        resume = str(last_checkpoint(folder(work, planned_run.after, seed)))
    words = ["--preset", "demo", "--data-dir", data, "--logs-dir", logs, "--seed", seed, "--device", "cpu"]
    words += ["--no-progress", "--resume", resume, *planned_run.flags, *flags.split()]
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


def kept(out, made_with):
    """Seeds that the result file has, if it was made with the same recipes and flags."""
    if not out.is_file():
        return {}
    result = json.loads(out.read_text())
    return result["seeds"] if {name: result.get(name) for name in made_with} == made_with else {}


def last_checkpoint(logs):
    """The newest of a run's stages."""
    return max(logs.glob("*/last.pt"), key=lambda path: path.stat().st_mtime)


def epochs_of(logs):
    return [json.loads(line) for line in (logs / "log.jsonl").read_text().splitlines()]


def seconds_of(logs):
    return sum(sum(record["seconds"].values()) for record in epochs_of(logs))


def measured(logs):
    """What a run came to: scores of its last weights, and its last epoch's labels and matches."""
    last, scores = epochs_of(logs)[-1], checkpoint.read(last_checkpoint(logs))["scores"]
    match = last.get("match", {})
    return {
        "scores": {protocol: {metric: scores[protocol][metric] for metric in METRICS} for protocol in PROTOCOLS},
        "ari": float(np.mean([last["labels"][m.value]["ari"] for m in Modality])),
        "right": match.get("right"),
        "matchable": match.get("matchable"),
        "seconds": seconds_of(logs),
    }


def cells(runs, times):
    """Mean and, of several seeds, sample standard deviation, under HEAD.

    Args:
        times: of each seed, over that of OWN_MATCHER, beside which it was measured.
    """

    def over(values, scale=1.0, digits=1):
        if any(value is None for value in values):
            return "-"
        spread = f" ± {scale * np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
        return f"{scale * np.mean(values):.{digits}f}{spread}"

    scores = [over([found["scores"][p][m] for found in runs], 100) for p in PROTOCOLS for m in METRICS]
    shares = [over([found[name] for found in runs], digits=2) for name in ("ari", "right", "matchable")]
    return [*scores, *shares, over(times, digits=2)]


def seed_of_runs(seed, given, data):
    """What every run of a seed came to, by its name; begun in the order of `planned`."""
    runs = planned()
    with ThreadPoolExecutor(given.jobs) as pool:
        begun = {}
        for one in runs:
            begun[one.name] = pool.submit(train, given.work, data, one, seed, begun.get(one.after), given.flags)
        for future in begun.values():
            future.result()
    found = {one.name: measured(folder(given.work, one.name, seed)) for one in runs if one.name != BEFORE_MATCHING}
    before = seconds_of(folder(given.work, BEFORE_MATCHING, seed))  # which no test follows
    for name, one in found.items():
        if name.startswith(OURS):
            one["seconds"] += before
    return found


def main():
    parser = benchmark_parser("methods", "The methods and the matchers beside each other on rendered people.")
    parser.add_argument("--work", type=Path, default=Path("logs/benchmark_methods"), help="(default %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default 1 2 3)")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default %(default)s)")
    parser.add_argument("--flags", default="", help="more flags of every run, for trials; in one word")
    given = parser.parse_args()
    data = Path("data/demo")
    recipes = {method: preset("sysu", "demo", method).to_dict() for method in PRESETS}
    made_with = json.loads(json.dumps({"recipes": recipes, "flags": given.flags}))  # as a file gives it back
    seeds = kept(given.out, made_with)
    claim(given.work, made_with)
    draw_people(data, "tuned on")
    for seed in given.seeds:
        if str(seed) not in seeds:
            seeds[str(seed)] = seed_of_runs(seed, given, data)
            write_result(given.out, "methods", {**made_with, "seeds": seeds})
    names = [one.name for one in planned() if one.name != BEFORE_MATCHING]
    rows = []
    for name in names:
        runs = [found[name] for found in seeds.values()]
        times = [found[name]["seconds"] / found[OWN_MATCHER]["seconds"] for found in seeds.values()]
        rows.append([name, *cells(runs, times)])
    print(table(["", *HEAD], rows))
    print(f"time 1: {np.mean([found[OWN_MATCHER]['seconds'] for found in seeds.values()]):.0f} seconds")


if __name__ == "__main__":
    run(main)
