"""The whole demo against the one of an earlier commit: how long it takes, and what it scores.

    git worktree add ../old dc8ecb2
    python -m benchmarks.demo_time --old ../old

Timed is what `sh run_demo.sh` does after set-up, from drawing people to the last table, in the Python that runs this,
each time in a new folder. What is already in --work is reused; so that both sides see the same machine, run them side
by side, each on one core:

    for seed in 1 2 3; do
        taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.demo_time --old ../old --part old $seed &
        taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.demo_time --old ../old --part new $seed; wait
    done
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.demo import METRICS, PROTOCOLS, summarise
from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.report.tables import table

PEOPLE = ["-m", "tokenmatcher.data.people", "sysu", "--train-ids", 100, "--test-ids", 40, "--seed", 7, "--workers", 2]
LAST = "after stage 2"


def commands(old, folder, seed):
    """What `run_demo.sh` of that side runs after set-up."""
    data, logs, scores = folder / "data", folder / "logs", folder / "scores.json"
    place = ["--data-dir", data, "--logs-dir", logs]
    flags = ["--device", "cpu", "--seed", seed, "--resume", "auto"]
    begin = [[*PEOPLE, "--out", data], ["prepare_sysu.py", "--data-dir", data]]
    if old:
        begin += [["train_sysu.py", "--preset", "demo", *place, *flags]]
        return [*begin, ["-m", "examples.demo_table", *place, "--json", scores]]
    return [*begin, ["-m", "examples.demo", *place, "--seed", seed, "--json", scores]]


def part(side, root, seed, kept):
    """Seconds of one whole demo, and its scores; kept in a file."""
    if not kept.is_file():
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            for words in commands(side == "old", Path(folder), seed):
                subprocess.run([sys.executable, *map(str, words)], cwd=root, check=True, stdout=subprocess.DEVNULL)
            seconds = time.monotonic() - start
            scores = json.loads((Path(folder) / "scores.json").read_text())
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True)
        found = {"commit": commit.stdout.strip(), "seconds": seconds, "threads": torch.get_num_threads()}
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({**found, "scores": scores}))
    return json.loads(kept.read_text())


def main():
    parser = benchmark_parser("demo_time", "The demo against the one of an earlier commit.")
    parser.add_argument("--old", type=Path, required=True, help="a checkout of the earlier commit")
    parser.add_argument("--work", type=Path, default=Path("logs/benchmark_demo_time"), help="(default %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default 1 2 3)")
    parser.add_argument("--part", nargs=2, metavar=("SIDE", "SEED"), help="one run: old or new, and its seed")
    given = parser.parse_args()
    roots = {"old": given.old, "new": Path()}
    if given.part and (given.part[0] not in roots or not given.part[1].isdigit()):
        parser.error(f"--part {' '.join(given.part)}: give old or new, and a number")

    def one(side, seed):
        return part(side, roots[side], seed, given.work / f"{side}_seed{seed}.json")

    if given.part:
        one(given.part[0], int(given.part[1]))
        return
    runs = {
        side: {seed: one(side, seed) for seed in tqdm(given.seeds, desc=f"demos {side}", disable=None)}
        for side in roots
    }
    summary = {side: summarise({s: found["scores"] for s, found in by.items()})[LAST] for side, by in runs.items()}
    ratios = {seed: runs["new"][seed]["seconds"] / runs["old"][seed]["seconds"] for seed in given.seeds}
    rows = [
        [
            side,
            " ".join(f"{found['seconds']:.0f}" for found in by.values()),
            *(f"{100 * v['mean']:.1f} ± {100 * v['std']:.1f}" for p in summary[side].values() for v in p.values()),
        ]
        for side, by in runs.items()
    ]
    print(table(["", "seconds", *(f"{p} {m}" for p in PROTOCOLS for m in METRICS)], rows))
    print("new / old:", " ".join(f"{ratio:.2f}" for ratio in ratios.values()))
    write_result(given.out, "demo_time", {"ratios": ratios, "summary": summary, "runs": runs})


if __name__ == "__main__":
    run(main)
