"""A CSV of a million pictures: seconds and memory from the file to records.

    python -m benchmarks.table

Beside it the obvious way: the rows alone, split by the csv module, nothing checked. Empty files stand for pictures, in
100 folders that ten names lead to.
"""

import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.datasets.table import Table

CAMERAS, NAMES = 100, 10


def written(folder, rows):
    """A table of so many rows, and its pictures."""
    shots = rows // CAMERAS // NAMES
    for camera in range(CAMERAS):
        (folder / f"cam{camera}").mkdir()
        for shot in range(shots):
            (folder / f"cam{camera}" / f"{shot}.jpg").touch()
    path = folder / "many.csv"
    with path.open("w", encoding="ascii") as file:
        file.write("path,camera,modality,identity,split\n")
        for name in range(NAMES):
            if name:
                (folder / f"name{name}").symlink_to(folder.resolve(), target_is_directory=True)
            above = f"name{name}/" if name else ""
            for camera in range(CAMERAS):
                modality = "infrared" if camera % 2 else "visible"
                for shot in range(shots):
                    file.write(f"{above}cam{camera}/{shot}.jpg,cam{camera},{modality},person {shot},\n")
    return path


def measure(path, way):
    """In a process of its own: seconds and megabytes of one way."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    if way == "ours":
        rows = len(Table(path).records)
    else:
        with path.open(newline="", encoding="ascii") as file:
            rows = len(list(csv.reader(file))) - 1
    seconds = time.perf_counter() - start
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"rows": rows, "seconds": seconds, "megabytes": megabytes}))


def main():
    parser = benchmark_parser("table", "A CSV of a million pictures.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="(default %(default)s)")
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "WAY"), help="one way alone")
    given = parser.parse_args()
    if given.measure:
        measure(Path(given.measure[0]), given.measure[1])
        return
    result = {}
    with tempfile.TemporaryDirectory() as name:
        path = written(Path(name), given.rows)
        for way in ("ours", "obvious"):
            words = [sys.executable, "-m", "benchmarks.table", "--measure", str(path), way]
            result[way] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
            print(way, result[way])
    write_result(given.out, "table", result)


if __name__ == "__main__":
    run(main)
