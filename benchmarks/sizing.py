"""Do numbers that follow a set's size (`tokenmatcher.sizing`) do better than one choice for all sizes?

    python -m benchmarks.sizing

Rendered worlds of 25, 50 and 200 training people, each as a CSV of its own, one seed; the demo's network, once with its
numbers fitted to the size, once with those that it was tuned with at 100 people; where these are the same, that is one
run. Test: 40 other people, one gallery of all their visible images. Parts can be made beforehand, side by side:

    for way in fitted fixed; do OMP_NUM_THREADS=1 python -m benchmarks.sizing --part 25 $way & done; wait
"""

import csv
import json
from pathlib import Path

from benchmarks.demo import script
from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.datasets.files import read_ids
from tokenmatcher.datasets.sysu import SYSU_CAMERAS, sysu_images, sysu_modality
from tokenmatcher.datasets.table import Table
from tokenmatcher.errors import flag
from tokenmatcher.presets import preset
from tokenmatcher.report.tables import table

PEOPLE, SEED = (25, 50, 200), 1
FITTED = ("k1", "k2", "num_instances", "iters", "camera_k1", "camera_k2", "camera_iters")


def own_cameras(folder, people):
    """A world's people, and a CSV beside them."""
    ids = ["--train-ids", people, "--test-ids", 40, "--seed", 7, "--workers", 2]
    script("-m", "tokenmatcher.people", "sysu", "--out", folder / "pictures", *ids)
    path = folder / "own.csv"
    cameras = [camera for own in SYSU_CAMERAS.values() for camera in own]
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write("# same place: cam2+cam3\n")
        rows = csv.writer(file)
        rows.writerow(("path", "camera", "modality", "identity", "split"))
        for split in ("train", "test"):
            for identity in read_ids(folder / "pictures" / "exp" / f"{split}_id.txt"):
                for record in sysu_images(folder / "pictures", identity, cameras):
                    modality = sysu_modality(record.camera)
                    role = split if split == "train" else "query" if modality == "infrared" else "gallery"
                    place = record.path.relative_to(folder)
                    rows.writerow((place, f"cam{record.camera}", modality, identity, role))
    return path


def numbers(recipe):
    """The numbers that are fitted."""
    leaves = {name: value for group in recipe.to_dict().values() for name, value in group.items()}
    return {name: leaves[name] for name in FITTED}


def part(work, people, way):
    """Scores and labels of one run's last epochs."""
    folder = work / f"people{people}"
    path = own_cameras(folder, people)
    demo = preset("table", "demo")
    fixed, chosen = numbers(demo), numbers(Table(path).fitted(demo))
    if way == "fixed" or chosen == fixed:
        way, chosen = "fixed", fixed
    logs, flags = folder / f"{way}_seed{SEED}", []
    for name, value in chosen.items() if way == "fixed" else ():
        flags += [flag(name), *(value if isinstance(value, tuple) else (value,))]
    script(
        "-m", "tokenmatcher", "train", path, "--preset", "demo", "--device", "cpu", "--logs-dir", logs, "--seed", SEED,
        "--resume", "auto", "--no-progress", *flags,
    )  # fmt: skip
    lines = [json.loads(line) for line in (logs / "log.jsonl").read_text().splitlines()]
    last = {line["stage"]: line for line in lines}
    return {
        "images": {
            m: sum(r.modality.value == m for r in Table(path).rows.records["train"]) for m in last["2"]["labels"]
        },
        "numbers": chosen,
        "scores": {stage: last[stage]["scores"]["infrared-to-visible"] for stage in "12"},
        "labels": {stage: last[stage]["labels"] for stage in "12"},
        "match": last["2"]["match"],
    }


def main():
    parser = benchmark_parser("sizing", "Numbers that follow a set's size.")
    parser.add_argument("--work", type=Path, default=Path("logs/benchmark_sizing"), help="(default %(default)s)")
    parser.add_argument("--part", nargs=2, metavar=("PEOPLE", "WAY"), help="one run: 25 fitted, or fixed")
    given = parser.parse_args()
    if given.part:
        part(given.work, int(given.part[0]), given.part[1])
        return
    result, rows = {}, []
    for people in PEOPLE:
        result[people] = {way: part(given.work, people, way) for way in ("fitted", "fixed")}
        for way, found in result[people].items():
            scores, labels = found["scores"]["2"], found["labels"]["2"]
            cells = [f"{100 * scores[m]:.1f}" for m in ("rank1", "mAP")]
            cells += [f"{labels[m]['ari']:.2f}" for m in ("visible", "infrared")]
            rows.append([f"{people} {way}", *cells, f"{found['match']['right']:.2f}"])
    print(table(["people", "rank-1", "mAP", "ARI visible", "infrared", "matches right"], rows))
    write_result(given.out, "sizing", result)


if __name__ == "__main__":
    run(main)
