"""Does it matter for the demo in how many groups batch norm works? 1 (the demo's preset), 2 and 4 (the paper's).

    python -m benchmarks.demo_groups

Each with the same seeds, on the demo's people. With one group it is the demo itself, so that what `benchmarks.demo`
left in --work is reused; parts can be made beforehand, side by side:

    for groups in 2 4; do OMP_NUM_THREADS=1 python -m benchmarks.demo_groups --part $groups 1 & done; wait
"""

from pathlib import Path

from benchmarks.demo import HEAD, cells, draw_people, part, script, summarise
from benchmarks.machine import benchmark_parser, claim, write_result
from tokenmatcher.cli import run
from tokenmatcher.presets import preset
from tokenmatcher.report.tables import table
from tokenmatcher.training import checkpoint

GROUPS = (1, 2, 4)
WORLD = 0  # the demo's own people


def grouped(work, groups, seed):
    """All scores after each stage, of one run."""
    if groups == preset("sysu", "demo").model.bn_groups:
        found = part(work, WORLD, seed)
        return {stage: found[f"after stage {stage}"] for stage in "12"}
    data, logs = Path("data/demo"), work / f"groups{groups}_seed{seed}"
    draw_people(data, "tuned on")
    script(
        "train_sysu.py", "--preset", "demo", "--data-dir", data, "--logs-dir", logs, "--device", "cpu", "--seed",
        seed, "--resume", "auto", "--no-progress", "--bn-groups", groups,
    )  # fmt: skip
    return {stage: checkpoint.read(logs / f"stage{stage}" / "last.pt")["scores"] for stage in "12"}


def main():
    parser = benchmark_parser("demo_groups", "The demo in 1, 2 and 4 batch norm groups.")
    parser.add_argument("--work", type=Path, default=Path("logs/benchmark_demo"), help="(default %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default 1 2 3)")
    parser.add_argument("--part", type=int, nargs=2, metavar=("GROUPS", "SEED"), help="one run")
    given = parser.parse_args()
    claim(given.work, {"recipe": preset("sysu", "demo").to_dict()})
    if given.part:
        grouped(given.work, *given.part)
        return
    result, rows = {}, []
    for groups in GROUPS:
        runs = {seed: grouped(given.work, groups, seed) for seed in given.seeds}
        summary = summarise(runs)
        result[groups] = {"runs": runs, "summary": summary}
        rows.append([str(groups), *cells(summary["2"])])
    print(table(["groups", *HEAD], rows))
    write_result(given.out, "demo_groups", {"recipe": preset("sysu", "demo").to_dict(), "groups": result})


if __name__ == "__main__":
    run(main)
