"""Whether a change of the code slowed it: the same benchmarks in two working copies, in turn on one machine.

    git worktree add ../before REVISION
    python -m benchmarks.revisions --before ../before

Each round runs labels, mining, metrics and step in one copy, then in the other, every second round the other way round
(step needs data/demo in both). A figure's ratio is this copy's median over the older copy's. With this very copy
as `--before`, the ratios say how far from 1 this machine alone brings them.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.errors import UserError
from tokenmatcher.report.tables import table

IMAGES, WIDTH = 22_258, 3_072  # SYSU-MM01's visible training images, the width of their features
OTHERS = {"mining": ("--scale", "2"), "metrics": (), "step": ()}  # with half the images, to be done sooner
FIGURES = {  # figure: its benchmark, and where in its result
    "labels, s": ("labels", ("seconds",)),
    "labels, peak bytes": ("labels", ("peak_bytes",)),
    "neighbours, s": ("mining", ("neighbours", "seconds", "ours")),
    "matching, ms": ("mining", ("matching", "milliseconds", "ours")),
    "scores of ten trials, s": ("metrics", ("seconds_for_ten_trials", "ours")),
    "training step, ms": ("step", ("milliseconds_per_step",)),
}


def benchmark(copy, name, *options):
    """What `python -m benchmarks.NAME` prints in one working copy."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    return subprocess.run(command, cwd=copy, check=True, stdout=subprocess.PIPE, text=True).stdout


def figures(copy):
    """{figure: number} of one working copy."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = ["--count", str(IMAGES), "--width", str(WIDTH), "--work", folder]
        results = {"labels": json.loads(benchmark(copy, "labels", "--measure", "ours", *sizes))}
        for name, options in OTHERS.items():
            out = Path(folder) / f"{name}.json"
            benchmark(copy, name, "--out", str(out), *options)
            results[name] = json.loads(out.read_text())
    found = {}
    for figure, (name, keys) in FIGURES.items():
        value = results[name]
        for key in keys:
            value = value[key]
        found[figure] = sum(value.values()) if isinstance(value, dict) else value
    return found


def revision(copy):
    """The commit of a working copy."""
    command = ["git", "-C", str(copy), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main():
    parser = benchmark_parser("revisions", "The same benchmarks in two working copies.")
    parser.add_argument("--before", type=Path, required=True, help="working copy of the older revision")
    parser.add_argument("--rounds", type=int, default=3, help="(default %(default)s)")
    given = parser.parse_args()
    if not (given.before / "benchmarks").is_dir():
        raise UserError(f"--before {given.before}: no working copy (it has no folder benchmarks)")
    if given.rounds < 1:
        raise UserError("--rounds must be at least 1")
    copies = {"before": given.before, "now": Path()}
    rounds = []
    for number in range(given.rounds):
        order = list(copies) if number % 2 == 0 else list(copies)[::-1]
        rounds.append({name: figures(copies[name]) for name in order})
    middle = {name: {figure: median(r[name][figure] for r in rounds) for figure in FIGURES} for name in copies}
    ratios = {figure: middle["now"][figure] / middle["before"][figure] for figure in FIGURES}
    rows = [[f, f"{middle['before'][f]:.4g}", f"{middle['now'][f]:.4g}", f"{ratios[f]:.2f}"] for f in FIGURES]
    print(table(["", *copies, "ratio"], rows))
    revisions = {name: revision(copy) for name, copy in copies.items()}
    write_result(given.out, "revisions", {"revisions": revisions, "rounds": rounds, "ratios": ratios})


if __name__ == "__main__":
    run(main)
