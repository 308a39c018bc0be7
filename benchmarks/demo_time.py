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
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.demo import HEAD, cells, draw_people, script, summarise
from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.report.tables import table

LAST = "after stage 2"


def whole_demo(side, root, seed, folder):
    """What `run_demo.sh` of that side does after set-up, in `folder`; returns the scores."""
    data, scores = folder / "data", folder / "scores.json"
    place = ["--data-dir", data, "--logs-dir", folder / "logs"]
    module = "tokenmatcher.people" if (root / "tokenmatcher/people").is_dir() else "tokenmatcher.data.people"
    draw_people(data, "tuned on", folder=root, module=module)
    if side == "old":
        flags = ["--device", "cpu", "--seed", seed, "--resume", "auto"]
        script("train_sysu.py", "--preset", "demo", *place, *flags, folder=root)
        script("-m", "examples.demo_table", *place, "--json", scores, folder=root)
    else:
        script("-m", "examples.demo", *place, "--seed", seed, "--json", scores, folder=root)
    return json.loads(scores.read_text())


def part(side, root, seed, kept):
    """Seconds of one whole demo, and its scores; kept in a file."""
    if not kept.is_file():
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            scores = whole_demo(side, root, seed, Path(folder))
            seconds = time.monotonic() - start
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
    runs = {side: {seed: one(side, seed) for seed in given.seeds} for side in roots}
    summary = {side: summarise({s: found["scores"] for s, found in by.items()})[LAST] for side, by in runs.items()}
    ratios = {seed: runs["new"][seed]["seconds"] / runs["old"][seed]["seconds"] for seed in given.seeds}
    seconds = {side: " ".join(f"{found['seconds']:.0f}" for found in by.values()) for side, by in runs.items()}
    print(table(["", "seconds", *HEAD], [[side, seconds[side], *cells(summary[side])] for side in runs]))
    print("new / old:", " ".join(f"{ratio:.2f}" for ratio in ratios.values()))
    write_result(given.out, "demo_time", {"ratios": ratios, "summary": summary, "runs": runs})


if __name__ == "__main__":
    run(main)
