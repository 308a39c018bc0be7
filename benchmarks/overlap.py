"""What becomes of the demo where not every person is seen by both modalities?

    python -m benchmarks.overlap

The demo's world and recipe, one seed; of the training people all, half, none are seen by both, the others by one. The
people of the test, 40 others, are seen by both. Parts can be made beforehand, side by side:

    for share in 1.0 0.5 0.0; do OMP_NUM_THREADS=1 python -m benchmarks.overlap --part $share & done; wait
"""

import json
from pathlib import Path

from benchmarks.demo import HEAD, METRICS, PROTOCOLS, demo, draw_people
from benchmarks.machine import benchmark_parser, claim, write_result
from tokenmatcher.cli import run
from tokenmatcher.presets import preset
from tokenmatcher.report.tables import table

SHARES, SEED = (1.0, 0.5, 0.0), 1


def part(work, share):
    """Scores of the four models of one run, and what its last epoch says of labels and matches."""
    data, logs = work / f"overlap{share}", work / f"overlap{share}_seed{SEED}"
    draw_people(data, "tuned on", "--overlap", share)
    scores = demo(data, logs, SEED)
    last = json.loads((logs / "log.jsonl").read_text().splitlines()[-1])
    return {"scores": scores, "labels": last["labels"], "match": last["match"]}


def main():
    parser = benchmark_parser("overlap", "The demo where not every person is seen by both modalities.")
    parser.add_argument("--work", type=Path, default=Path("logs/benchmark_overlap"), help="(default %(default)s)")
    parser.add_argument("--part", type=float, metavar="SHARE", help="one run")
    given = parser.parse_args()
    claim(given.work, {"recipe": preset("sysu", "demo").to_dict()})
    if given.part is not None:
        part(given.work, given.part)
        return
    result = {share: part(given.work, share) for share in SHARES}
    rows = []
    for share, found in result.items():
        last = found["scores"]["after stage 2"]
        cells = [f"{100 * last[p][m]:.1f}" for p in PROTOCOLS for m in METRICS]
        rows.append([f"{share:.1f}", *cells, f"{found['match']['right']:.2f}"])
    print(table(["seen by both", *HEAD, "matches right"], rows))
    write_result(given.out, "overlap", {"recipe": preset("sysu", "demo").to_dict(), "shares": result})


if __name__ == "__main__":
    run(main)
