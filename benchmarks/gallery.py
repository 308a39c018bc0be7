"""An index of up to a million pictures: time to build, time of a query, what a search finds of the true ten.

    python -m benchmarks.gallery                          10,000, 100,000 and 1,000,000; half an hour, 7 GB of disk
    python -m benchmarks.gallery --sizes 10000 100000

Features by rule (`benchmarks.labels.people`): unit vectors 768 wide, 56 pictures a person in 4 cameras; 200 more of
the same people are the queries. Building and searching are processes of their own, so that each one's peak memory is
its own. Beside the time on the clock stands the processor time of all cores, which other programs at work on the
machine do not lengthen. Recall@10: share of the ten most similar by NumPy, exactly, that the search finds.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import lancedb
import numpy as np

from benchmarks.labels import peak_bytes, people
from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.contracts import Modality
from tokenmatcher.gallery.records import About, Entry, Filter
from tokenmatcher.gallery.stores import lance, open_store
from tokenmatcher.report.tables import table

QUERIES, TOP, BATCH, EXACT = 200, 10, 10_000, 5
PROBES = (8, 16, 32, 64)


def entry(number):
    return Entry(f"/pictures/{number:07d}.jpg", Modality.VISIBLE, str(number % 4), None, 1, 1)


def build(count, width, folder):
    """Features, the true ten of each query, the index; a line of JSON for each step."""
    features = people(count + QUERIES, width).numpy()
    features, queries = features[:count], features[count:]
    true = np.concatenate([np.argsort(-(part @ features.T), axis=1)[:, :TOP] for part in np.split(queries, 20)])
    np.savez(folder / "queries.npz", queries=queries, true=true)
    store = open_store(str(folder / "index"), About("by rule", width, "none"))
    start = time.perf_counter()
    for first in range(0, count, BATCH):
        store.add([entry(n) for n in range(first, min(first + BATCH, count))], features[first : first + BATCH])
    said(add_seconds=time.perf_counter() - start)
    start = time.perf_counter()
    store.optimise()
    bytes_ = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    said(optimise_seconds=time.perf_counter() - start, disk_bytes=bytes_, build_peak_bytes=peak_bytes())


def search(folder):
    """Time and recall by lists read; a line of JSON for each."""
    with np.load(folder / "queries.npz") as file:
        queries, true = file["queries"], file["true"]
    store = open_store(str(folder / "index"))
    lists = bool(store.table.list_indices())
    for probes in PROBES if lists else (0,):
        lance.PROBES = probes or lance.PROBES
        timed(store, queries[:20])  # the first ones read the disk
        seconds, busy, found = timed(store, queries)
        shares = [len(set(a) & set(b.tolist())) / TOP for a, b in zip(found, true, strict=True)]
        said(
            probes=probes, median_ms=1000 * median(seconds), p95_ms=1000 * float(np.quantile(seconds, 0.95)),
            median_cpu_ms=1000 * median(busy), recall_at_10=float(np.mean(shares)),
        )  # fmt: skip
    said(search_peak_bytes=peak_bytes())
    where = Filter(cameras=("3",))
    lance.PROBES = PROBES[2]
    said(one_camera_median_ms=1000 * median(timed(store, queries[:50], where)[0]))
    if lists:
        seconds = []
        for query in queries[:EXACT]:
            start = time.perf_counter()
            store.table.search(query).distance_type("dot").bypass_vector_index().limit(TOP).select(["path"]).to_list()
            seconds.append(time.perf_counter() - start)
        said(exact_median_ms=1000 * median(seconds))


def timed(store, queries, where=Filter()):  # noqa: B008 (a frozen value)
    """Of each query: seconds on the clock, and of all cores together; numbers of what was found."""
    seconds, busy, found = [], [], []
    for query in queries:
        start, work = time.perf_counter(), time.process_time()
        (hits,) = store.search(query[None], TOP, where)
        seconds.append(time.perf_counter() - start)
        busy.append(time.process_time() - work)
        found.append([int(Path(hit.entry.path).stem) for hit in hits])
    return seconds, busy, found


def said(**facts):
    print(json.dumps(facts), flush=True)


def in_process(step, count, width, folder, seconds):
    """What a step said, as far as it came in that time."""
    command = [sys.executable, "-m", "benchmarks.gallery", "--measure", step, "--sizes", str(count)]
    with (folder / "said").open("w+") as file:
        try:
            subprocess.run(
                [*command, "--width", str(width), "--work", str(folder)], check=True, stdout=file, timeout=seconds
            )
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
        file.seek(0)
        lines = [json.loads(line) for line in file if line.startswith("{")]
    facts = {"ended": ended, "searches": [line for line in lines if "probes" in line]}
    for line in lines:
        if "probes" not in line:
            facts.update(line)
    return facts


def measured(count, width, seconds):
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = in_process("build", count, width, folder, seconds)
        if facts["ended"]:
            facts.update(in_process("search", count, width, folder, max(1, deadline - time.monotonic())))
    return facts


def main():
    parser = benchmark_parser("gallery", "An index of up to a million pictures.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="pictures")
    parser.add_argument("--width", type=int, default=768, help="feature width (default 768)")
    parser.add_argument("--minutes", type=float, default=30, help="for a size at most (default 30)")
    parser.add_argument("--measure", choices=("build", "search"), help="one step alone; prints JSON")
    parser.add_argument("--work", type=Path, help="folder of the index, with --measure")
    given = parser.parse_args()
    if given.measure == "build":
        build(given.sizes[0], given.width, given.work)
    elif given.measure == "search":
        search(given.work)
    else:
        sizes = {}
        for count in given.sizes:
            sizes[count] = measured(count, given.width, 60 * given.minutes)
            result = {"lancedb": lancedb.__version__, "width": given.width, "queries": QUERIES, "sizes": sizes}
            write_result(given.out, "gallery", result)
            rows = [
                [
                    str(s["probes"] or "all"),
                    f"{s['median_ms']:.1f}",
                    f"{s['p95_ms']:.1f}",
                    f"{s['median_cpu_ms']:.1f}",
                    f"{s['recall_at_10']:.4f}",
                ]
                for s in sizes[count]["searches"]
            ]
            print(f"{count:,} pictures: {json.dumps({k: v for k, v in sizes[count].items() if k != 'searches'})}")
            print(table(["lists read", "median, ms", "95 %, ms", "of all cores", "recall@10"], rows))


if __name__ == "__main__":
    run(main)
